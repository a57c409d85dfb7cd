/** The Chinese of words-en.ts. */
import type * as en from './words-en.ts';

export const jobs = (count: number): string => `${count} 个任务`;
export const credits = (count: number): string => `${count} 点`;

/** 90_000 → "1 分 30 秒". */
export function duration(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} 秒`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 ? `${minutes} 分 ${seconds % 60} 秒` : `${minutes} 分钟`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} 小时 ${minutes % 60} 分` : `${minutes / 60} 小时`;
}

export const buttons: typeof en.buttons = {
  cancel: '取消',
  reroll: '换个种子',
  remix: '改提示词',
  subtle: '微调',
  strong: '大改',
  extend: '续写',
  settings: '参数',
  smooth: '流畅 ×3',
  loop: '循环',
  delete: '删除',
};

export const status: typeof en.status = {
  next: '已接受，下一个就是你的。',
  stranded: '已接受。现在没有工作进程提供这个视频所用的模型：它会一直等到有工作进程提供为止，你也可以取消。',
  waiting: (ahead) => `已接受，前面还有 ${jobs(ahead)}。`,
  quiet: (ms) => `机器正处于安静时段，${duration(ms)}后继续。`,
  readyIn: (ms) => `大约 ${duration(ms)}后完成。`,
  left: (ms) => `大约还需 ${duration(ms)}`,
  loading: '正在加载模型…',
  encoding: '正在看图…',
  denoising: (bar, done, total) => `${bar} 第 ${done}/${total} 步`,
  decoding: (done, total) => `正在生成画面… ${done}/${total}`,
  finishing: '正在写入视频…',
  looksOnly: '这个模型只看图片，不读描述；动多少由 motion=low、medium 或 high 决定。',
  ignored: (option) => `这个模型不理会“${option}”，已略去，不另收点数。`,
  firstFrame: '这是动图，只使用第一帧。',
  cut: ({ of, percent }) =>
    of === 'width' ? `图片左右共裁去宽度的 ${percent}%。` : `图片上下共裁去高度的 ${percent}%。`,
  cancelling: '正在停止…',
  cost: (cost, left) => `消耗 ${cost} 点，今天还剩 ${left} 点。`,
};

export const help: typeof en.help = {
  vague: (word) => `小提示：“${word}”没有说明怎么动；请写出什么在动、怎么动，例如“镜头缓缓推近”。`,
  noMotion: '小提示：写出什么在动，例如“海浪翻滚”或“镜头左移”。',
  text: '小提示：画面里的文字容易抖动，建议选择低运动幅度（motion=low）。',
  language: '小提示：用英文或中文写提示词效果最好。',
};

/** Names of options, by the words that people type, and of what a video was made with. */
export const labels = {
  prompt: '提示词',
  negative: '反向提示词',
  preset: '预设',
  seed: '种子',
  motion: '运动幅度',
  frames: '帧数',
  steps: '步数',
  guidance: '引导强度',
  fps: '帧率',
  size: '尺寸',
  loop: '循环',
  smooth: '流畅',
  variation: '变化强度',
  model: '模型',
};
