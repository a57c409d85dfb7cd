/** The environment of the programs that Kinora starts: what they need to run, and never a bot's token. */

const names = new Set([
  // finding programs, home and temporary folders
  'PATH',
  'HOME',
  'USERPROFILE',
  'TMPDIR',
  'TMP',
  'TEMP',
  'XDG_CACHE_HOME',
  // Windows cannot load libraries or open sockets without these
  'SYSTEMROOT',
  'WINDIR',
  'COMSPEC',
  'PATHEXT',
  'APPDATA',
  'LOCALAPPDATA',
  // shared libraries (CUDA, cuDNN, TensorRT)
  'LD_LIBRARY_PATH',
  'LD_PRELOAD',
  'GLIBC_TUNABLES',
  'DYLD_LIBRARY_PATH',
  // text and time
  'LANG',
  'TZ',
  // fonts are not used, but a broken fontconfig makes some ffmpeg builds complain
  'FONTCONFIG_PATH',
]);
/** CUDA_VISIBLE_DEVICES, NVIDIA_DRIVER_CAPABILITIES, OMP_NUM_THREADS, ORT_…, LC_ALL, GOMP_… */
const prefixes = ['CUDA_', 'NVIDIA_', 'ORT_', 'OMP_', 'GOMP_', 'LC_', 'VK_', 'MALLOC_'];

export function programEnvironment(parent: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const picked = Object.entries(parent).filter(([name]) => {
    const upper = name.toUpperCase();
    return names.has(upper) || prefixes.some((prefix) => upper.startsWith(prefix));
  });
  return Object.fromEntries(picked);
}
