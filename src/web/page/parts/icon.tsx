/** Small pictures beside words: 24 units wide, drawn in lines of the text's colour. Read by nobody aloud. */

const paths = {
  account: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm-7 8a7 7 0 0 1 14 0',
  camera: 'M4 8h3l2-3h6l2 3h3v11H4V8Zm8 8.500a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7Z',
  check: 'm5 12.500 4.500 4.500L19 7.500',
  chevron: 'm6 9 6 6 6-6',
  close: 'M6 6l12 12M18 6 6 18',
  copy: 'M9 9h11v11H9V9Zm-5 6V4h11',
  create: 'M12 5v14M5 12h14',
  crop: 'M7 2v15h15M2 7h15v15',
  dice: 'M5 5h14v14H5V5Zm4 4h.01M15 9h.01M12 12h.01M9 15h.01M15 15h.01',
  download: 'M12 4v11m0 0 4.500-4.500M12 15l-4.500-4.500M5 20h14',
  eyeOff:
    'M4 4l16 16M9.900 5.200A10 10 0 0 1 12 5c5 0 8.500 4 9.500 7a13 13 0 0 1-2.800 4.200M6.300 7.300A13 13 0 0 0 2.500 12c1 3 4.500 7 9.500 7a10 10 0 0 0 4.500-1.100M9.900 9.900a3 3 0 0 0 4.200 4.200',
  heart:
    'M12 20s-7.500-4.700-7.500-10A4.300 4.300 0 0 1 12 7.300 4.300 4.300 0 0 1 19.500 10C19.500 15.300 12 20 12 20Z',
  image: 'M4 5h16v14H4V5Zm0 11 5-5 4 4 2.500-2.500L20 16M15.500 9.500h.01',
  language:
    'M3 12a9 9 0 1 0 18 0 9 9 0 0 0-18 0Zm0 0h18M12 3c3 3 3.500 6 3.500 9S15 18 12 21c-3-3-3.500-6-3.500-9S9 6 12 3Z',
  library: 'M4 5h7v6H4V5Zm9 0h7v6h-7V5ZM4 13h7v6H4v-6Zm9 0h7v6h-7v-6Z',
  loop: 'M17 3l3 3-3 3M4 11V9a3 3 0 0 1 3-3h13M7 21l-3-3 3-3m13-2v2a3 3 0 0 1-3 3H4',
  machine: 'M5 7h14v10H5V7Zm4 3h6v4H9v-4Zm-1-3V4m4 3V4m4 3V4M8 20v-3m4 3v-3m4 3v-3',
  moon: 'M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500Z',
  more: 'M5 12h.01M12 12h.01M19 12h.01',
  play: 'M8 5v14l11-7L8 5Z',
  remix:
    'M4 17c6 0 7-10 13-10h3m0 0-3-3m3 3-3 3M4 7c2.500 0 4 1.500 5 3m5 5c1 1.200 2 2 3 2h3m0 0-3-3m3 3-3 3',
  rotateLeft: 'M4 9h10a5 5 0 0 1 0 10H9M4 9l4-4M4 9l4 4',
  rotateRight: 'M20 9H10a5 5 0 0 0 0 10h5m5-10-4-4m4 4-4 4',
  search: 'M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13Zm5-1.500L20 20',
  sliders:
    'M4 7h9m4 0h3M4 17h3m4 0h9M15 9.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5Zm-6 10a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5Z',
  spark: 'M12 3v4m0 10v4M3 12h4m10 0h4M6 6l2.500 2.500m7 7L18 18M18 6l-2.500 2.500m-7 7L6 18',
  star: 'm12 3.500 2.600 5.400 5.900.8-4.300 4.100 1.100 5.900L12 16.800l-5.300 2.900 1.100-5.900L3.500 9.700l5.900-.8L12 3.500Z',
  sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm0-13v2m0 14v2M3 12h2m14 0h2M5.600 5.600 7 7m10 10 1.400 1.400M18.400 5.600 17 7M7 17l-1.400 1.400',
  system: 'M4 5h16v11H4V5Zm4 15h8m-4-4v4',
  trash: 'M5 7h14M10 7V4h4v3m-7 0 1 13h8l1-13m-7 4v5m4-5v5',
  warning: 'M12 4 2.500 20h19L12 4Zm0 6v5m0 2.500h.01',
  wifiOff:
    'M3 3l18 18M8.500 15.500a5 5 0 0 1 7 0M5 12a10 10 0 0 1 4-2.500m5.500.1A10 10 0 0 1 19 12M2 8.500a15 15 0 0 1 4-2.600m5-1.300a15 15 0 0 1 11 3.900M12 19h.01',
} as const;
export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
