/**
 * Sentences that only Discord needs, in the languages of the catalogue: where an answer went when it could not stay
 * where it was asked, and the labels of modals. Plain text, to be escaped like the rest.
 */
import { PermissionFlagsBits as Can } from 'discord.js';

export type NeededPermission =
  | 'ViewChannel'
  | 'SendMessages'
  | 'SendMessagesInThreads'
  | 'AttachFiles'
  | 'ReadMessageHistory';

/** What the bot needs where it answers later than an interaction allows. */
export const neededPermissions: Readonly<Record<NeededPermission, bigint>> = {
  ViewChannel: Can.ViewChannel,
  SendMessages: Can.SendMessages,
  SendMessagesInThreads: Can.SendMessagesInThreads,
  AttachFiles: Can.AttachFiles,
  ReadMessageHistory: Can.ReadMessageHistory,
};

const en = {
  help:
    'Use /animate with a picture and a few words about the motion, for example "camera slowly zooming in, waves rolling"; or Apps > Animate on any message with a picture.\n' +
    'Motions: zoom in or out, pan left or right, tilt up or down, rotate, waves, swaying in the wind, static; slow or fast.\n' +
    'The options of /animate: preset (how much time goes into it), motion, camera, seed (the same gives the same video), negative (what should not appear), frames, guidance, loop, smooth, private (only you see it).\n' +
    'Buttons under a video make variations of it. /queue tells how long it takes, /me your credits and jobs, /privacy what is stored.',
  placeholder: 'One moment…',
  willBeDm: 'This takes longer than Discord lets me answer here, so the video will come as a direct message.',
  tooLate: 'It took longer than Discord lets me answer where you asked, so here it is.',
  missing: (permissions: string) =>
    `I could not post this where you asked: I lack the permission ${permissions} there.`,
  sentAsDm: (permissions: string) =>
    permissions
      ? `Sent as a direct message, since I lack the permission ${permissions} here.`
      : 'Sent as a direct message.',
  permissions: {
    ViewChannel: 'View Channel',
    SendMessages: 'Send Messages',
    SendMessagesInThreads: 'Send Messages in Threads',
    AttachFiles: 'Attach Files',
    ReadMessageHistory: 'Read Message History',
  } satisfies Record<NeededPermission, string> as Readonly<Record<NeededPermission, string>>,
  busy: 'One at a time: your other clip is still being made.',
  noPicture: 'There is no picture in that message.',
  expired: 'That form is too old. Use the command again.',
  sure: 'Really delete everything? This cannot be undone.',
  confirm: 'Yes, delete everything',
  keep: 'Keep it',
  kept: 'Nothing was deleted.',
  animate: 'Animate',
  remix: 'Remix',
  prompt: 'What should move, and how?',
  promptExample: 'camera slowly zooming in, waves rolling',
  negative: 'What should not appear?',
  seed: 'Seed',
  preset: 'Preset',
  notANumber: 'The seed must be a whole number from 0 to 9007199254740991.',
};

export type DiscordWords = typeof en;

const zh: DiscordWords = {
  help:
    '使用 /animate，附上一张图片和几个描述运动的词，例如“镜头缓缓推近，海浪翻滚”；或在任何带图片的消息上选择 应用 > 让图片动起来。\n' +
    '运动：推近、拉远、左移、右移、上摇、下摇、旋转、海浪、随风摇摆、静止；慢或快。\n' +
    '/animate 的选项：预设（花多少时间）、运动、镜头、种子（相同的种子得到相同的视频）、反向提示词、帧数、引导强度、循环、流畅、私密（只有你能看到）。\n' +
    '视频下方的按钮可以做出变化。/queue 查看队列，/me 查看点数和任务，/privacy 查看存储了什么。',
  placeholder: '请稍等…',
  willBeDm: '所需时间超过 Discord 允许在这里回复的时间，视频会以私信发送。',
  tooLate: '生成时间超过了 Discord 允许在原处回复的时间，所以发到这里。',
  missing: (permissions) => `无法发到你发起的地方：我在那里缺少权限 ${permissions}。`,
  sentAsDm: (permissions) =>
    permissions ? `已以私信发送，因为我在这里缺少权限 ${permissions}。` : '已以私信发送。',
  permissions: {
    ViewChannel: '查看频道',
    SendMessages: '发送消息',
    SendMessagesInThreads: '在子区内发送消息',
    AttachFiles: '附加文件',
    ReadMessageHistory: '阅读消息历史',
  },
  busy: '一次只能做一个：你的另一个片段还在处理。',
  noPicture: '那条消息里没有图片。',
  expired: '这个表单已过期，请重新使用命令。',
  sure: '确定要删除全部吗？此操作无法撤销。',
  confirm: '是的，全部删除',
  keep: '保留',
  kept: '没有删除任何内容。',
  animate: '让图片动起来',
  remix: '改提示词',
  prompt: '什么要动，怎么动？',
  promptExample: '镜头缓缓推近，海浪翻滚',
  negative: '不要出现什么？',
  seed: '种子',
  preset: '预设',
  notANumber: '种子必须是 0 到 9007199254740991 之间的整数。',
};

export function wordsFor(locale: string): DiscordWords {
  return locale.toLowerCase().startsWith('zh') ? zh : en;
}
