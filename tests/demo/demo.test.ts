import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { readMp4Info } from '../../src/video/mp4.ts';

/** Processes that were given the folder, by their environment or their arguments. */
async function processesOf(path: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const text = await Promise.all(
      ['environ', 'cmdline'].map((file) => readFile(`/proc/${pid}/${file}`, 'latin1').catch(() => '')),
    );
    if (Number(pid) !== process.pid && text.join('').includes(path)) found.push(pid);
  }
  return found;
}

const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
const readmeExcerpt = /```\n( {3}Discord · #animations[\s\S]*?)\n```/.exec(readme)?.[1] ?? '';

// A dozen videos of two seconds and more, of a model that takes five seconds of a core for each.
it('the demonstration plays to its end, shows all that it promises, and leaves the videos and nothing else', {
  timeout: 600_000,
}, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kinora-play-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const out = join(folder, 'out');
  const demo = spawn(
    process.execPath,
    ['--import', 'tsx', fileURLToPath(new URL('run.ts', import.meta.url)), '--short', '--out', out],
    // No token, and no folder but this one.
    {
      env: { PATH: process.env['PATH'], TMPDIR: folder, KINORA_THREADS: '2' },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let errors = '';
  demo.stdout.resume();
  demo.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const [code] = (await once(demo, 'exit')) as [number | null];
  expect(errors).toBe('');
  expect(code).toBe(0);
  expect(await processesOf(folder)).toEqual([]);
  expect((await readdir(folder)).filter((name) => name.startsWith('kinora-'))).toEqual([]);

  expect(readmeExcerpt.split('\n').length).toBeGreaterThan(30);
  const transcript = await readFile(join(out, 'transcript.txt'), 'utf8');
  for (const said of [
    /\nKinora {3}Accepted\. Yours is next\./,
    /↻ Turning it into frames… \d+\/48/,
    /↻ "camera slowly zooming in" · seed 7 · fast · made in/,
    /Reused from before: what the model saw in the picture/,
    /Only the person who asked for this can do that/,
    /No motion was named, so it is a gentle push-in/,
    /↻ Cancelled\. Nothing was charged\./,
    /“镜头缓缓推近” · 种子/,
    /沿用了之前的计算：.*之前的视频/,
    /but you have used 2 of your 3 credits today/,
    /@Ada now has 5 extra credits/,
    /Only admins of this Kinora can do that/,
    /Blocked words: 2/,
    /SPOILER_kinora/,
    /To make it again:\n +\/animate waves rolling preset=fast seed=3/,
    /in the format SVG/,
    /You cannot use Kinora until/,
    /This link opens your page: .*\n +<?http:\/\/127\.0\.0\.1:\d+\/sign-in#/,
    /opens the link, and sees her library:\n(?: +🎞 .*\n)* +🎞 "camera slowly zooming in" · seed 7 · fast\n/,
    /🎞 "camera rotating clockwise" · seed 7 · fast · remixed from the video of Discord\n +saved as/,
    /已删除 2 个任务/,
  ]) {
    expect(transcript).toMatch(said);
  }
  // What the README shows was really said. Progress depends on the machine, and so do numbers.
  const plain = (line: string): string =>
    line
      .replaceAll(/\d+/g, '#')
      .replace(/(?:; saved| Ready| New ones|，?大约).*$/, '')
      .replace(/[.。]$/, '');
  const told = new Set(transcript.split('\n').map(plain));
  for (const line of readmeExcerpt.split('\n')) {
    if (line.includes('saved as') || /↻ .*(?:…|▱|▰)/.test(line) || /slow zoom out|Seed/.test(line)) continue;
    expect(told, line).toContain(plain(line));
  }
  const clips = (await readdir(out)).filter((name) => name.endsWith('.mp4'));
  expect(clips.length).toBeGreaterThanOrEqual(10);
  for (const clip of clips) expect((await readMp4Info(join(out, clip))).numFrames).toBeGreaterThanOrEqual(8);
});
