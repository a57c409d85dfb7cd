/**
 * The slash commands as Discord registers them, in English and Chinese. Their handlers decide who may use them: the
 * permissions that Discord checks are no boundary.
 */
import {
  ApplicationCommandType,
  ApplicationIntegrationType,
  InteractionContextType,
  ApplicationCommandOptionType as Option,
  PermissionFlagsBits,
  type RESTPostAPIApplicationCommandsJSONBody,
  type RESTPostAPIChatInputApplicationCommandsJSONBody,
} from 'discord.js';
import { reasonLength } from '../../queue/audit.ts';
import { banHours } from '../../queue/bans.ts';
import { creditRange, grantRange } from '../../queue/quota.ts';
import { weightRange } from '../../queue/weights.ts';
import { motions, presetNames } from '../../request/presets.ts';
import { cameras, optionTable } from '../../request/request.ts';
import type { Offered } from '../sentences/en.ts';

type Options = NonNullable<RESTPostAPIChatInputApplicationCommandsJSONBody['options']>;
type LeafOption = Exclude<Options[number], { type: Option.Subcommand | Option.SubcommandGroup }>;
type Words = readonly [name: string, description: string, zhName: string, zhDescription: string];

/** The longest prompt that Discord lets people type. */
export const maxPromptLength = 500;

/** Whose clients offer what is not for everybody. A courtesy: the handlers check who may do it. */
const offeredTo = String(PermissionFlagsBits.ManageGuild);

const everywhere = {
  integration_types: [ApplicationIntegrationType.GuildInstall, ApplicationIntegrationType.UserInstall],
  contexts: [
    InteractionContextType.Guild,
    InteractionContextType.BotDM,
    InteractionContextType.PrivateChannel,
  ],
};

/** A name and a description, in English and Chinese. */
function named([name, description, zhName, zhDescription]: Words) {
  return {
    name,
    description,
    name_localizations: { 'zh-CN': zhName, 'zh-TW': zhName },
    description_localizations: { 'zh-CN': zhDescription, 'zh-TW': zhDescription },
  };
}

function subcommand(words: Words, options: LeafOption[] = []): Options[number] {
  return { ...named(words), type: Option.Subcommand, ...(options.length > 0 ? { options } : {}) };
}

interface TextLimits {
  readonly max_length?: number;
  readonly choices?: ReturnType<typeof choicesOf>;
}

const text = (words: Words, limits: TextLimits = {}): LeafOption => ({
  ...named(words),
  type: Option.String,
  ...limits,
});

/** Both ends included. */
interface Limits {
  readonly min: number;
  readonly max?: number;
}

const valuesOf = ({ min, max }: Limits) => ({
  min_value: min,
  ...(max === undefined ? {} : { max_value: max }),
});
const whole = (words: Words, limits: Limits): LeafOption => ({
  ...named(words),
  type: Option.Integer,
  ...valuesOf(limits),
});
const number = (words: Words, limits: Limits): LeafOption => ({
  ...named(words),
  type: Option.Number,
  ...valuesOf(limits),
});

type PlainType = Option.Attachment | Option.Boolean | Option.Channel | Option.Role | Option.User;
const plain = (words: Words, type: PlainType): LeafOption => ({ ...named(words), type });

const required = (option: LeafOption): LeafOption => ({ ...option, required: true });

/** Choices whose Chinese name differs from the value. */
const zhOf: Readonly<Record<string, string>> = {
  fast: '快速',
  standard: '标准',
  high: '高',
  creative: '创意',
  low: '低',
  medium: '中',
  'zoom-in': '推近',
  'zoom-out': '拉远',
  'pan-left': '左移',
  'pan-right': '右移',
  'tilt-up': '上摇',
  'tilt-down': '下摇',
  'rotate-clockwise': '顺时针旋转',
  'rotate-counterclockwise': '逆时针旋转',
  static: '静止',
  allow: '允许',
  clear: '清除',
  on: '开',
  off: '关',
  any: '任意',
  add: '添加',
  remove: '移除',
  list: '列出',
};

const choicesOf = (values: readonly string[]) =>
  values.map((value) => {
    const zh = zhOf[value];
    return {
      name: value.replaceAll('-', ' '),
      value,
      ...(zh ? { name_localizations: { 'zh-CN': zh, 'zh-TW': zh } } : {}),
    };
  });

/** A required choice, the same for every subcommand. */
function actions(...values: readonly string[]): LeafOption {
  return required(text(['action', 'What to do', '操作', '要做什么'], { choices: choicesOf(values) }));
}

const page = whole(['page', 'Page of the list', '页', '列表的页码'], { min: 1 });

const { seed, numFrames, guidanceScale, fps } = optionTable;
const animateOptions: LeafOption[] = [
  required(
    plain(
      ['image', 'The picture: JPEG, PNG, WebP, GIF or TIFF', '图片', '图片：JPEG、PNG、WebP、GIF 或 TIFF'],
      Option.Attachment,
    ),
  ),
  text(
    [
      'prompt',
      'What moves and how, for example: camera slowly zooming in, waves rolling',
      '提示词',
      '什么在动、怎么动，例如：镜头缓缓推近，海浪翻滚',
    ],
    { max_length: maxPromptLength },
  ),
  text(['preset', 'How much time goes into it', '预设', '花多少时间生成'], {
    choices: choicesOf(presetNames),
  }),
  {
    ...named(['model', 'Which model makes it', '模型', '用哪个模型生成']),
    type: Option.String,
    autocomplete: true,
  },
  text(['motion', 'How much moves', '运动', '运动的幅度'], { choices: choicesOf(motions) }),
  text(['camera', 'What the camera does', '镜头', '镜头的运动'], { choices: choicesOf(cameras) }),
  whole(['seed', 'The same seed gives the same video', '种子', '相同的种子得到相同的视频'], seed),
  text(['negative', 'What should not appear', '反向提示词', '不要出现的内容'], {
    max_length: maxPromptLength,
  }),
  whole(['frames', 'How many frames', '帧数', '视频的帧数'], numFrames),
  whole(['fps', 'Frames per second', '帧率', '视频每秒的帧数'], fps),
  number(['guidance', 'How closely the prompt is followed', '引导强度', '遵循提示词的程度'], guidanceScale),
  plain(['loop', 'Play forwards and back', '循环', '正放后倒放'], Option.Boolean),
  plain(['smooth', 'Three times the frames', '流畅', '帧数增加到三倍'], Option.Boolean),
  plain(
    [
      'mask',
      'A picture of the same shape, white where yours may move; the rest stays still',
      '蒙版',
      '形状相同的图片，白色的地方会动，其余保持不动',
    ],
    Option.Attachment,
  ),
  plain(['private', 'Only you see the answer', '私密', '只有你能看到回复'], Option.Boolean),
];

const blockedWords: Words = [
  'words',
  'One or more: word "two words" /pattern/',
  '词语',
  '一个或多个：词 "两个 词" /模式/',
];
const ruleCommands: Options = [
  subcommand(['show', 'Shows the rules', '查看', '查看规则']),
  subcommand(
    ['channels', 'Where Kinora may be used', '频道', '在哪些频道可以使用'],
    [actions('allow', 'clear'), plain(['channel', 'A channel', '频道', '频道'], Option.Channel)],
  ),
  subcommand(
    ['roles', 'Who may use Kinora', '身份组', '哪些身份组可以使用'],
    [actions('allow', 'clear'), plain(['role', 'A role', '身份组', '身份组'], Option.Role)],
  ),
  subcommand(['spoiler', 'Whether videos are covered', '遮罩', '是否遮住视频'], [actions('on', 'off')]),
  subcommand(['age', 'Only in age-restricted channels', '年龄', '仅限年龄限制频道'], [actions('on', 'off')]),
  subcommand(['preset', 'The highest preset', '预设', '最高预设'], [actions(...presetNames, 'any')]),
  subcommand(
    ['words', 'Blocked words', '词语', '屏蔽的词语'],
    [actions('add', 'remove', 'list'), text(blockedWords, { max_length: 1_000 }), page],
  ),
];

/** What can be chosen with /animate, by the words of the options. */
export const animateOptionNames: ReadonlySet<string> = new Set(animateOptions.map(({ name }) => name));

/** @param offered which options the model heeds; the others are not offered */
export const publicCommands = (offered: Partial<Offered> = {}): RESTPostAPIApplicationCommandsJSONBody[] => [
  {
    ...everywhere,
    ...named(['animate', 'Turn a picture into a short video', '动画', '把图片变成短视频']),
    options: animateOptions.filter(({ name }) => !(name in offered) || offered[name as keyof Offered]),
  },
  {
    ...everywhere,
    type: ApplicationCommandType.Message,
    name: 'Animate',
    name_localizations: { 'zh-CN': '让图片动起来', 'zh-TW': '讓圖片動起來' },
  },
  { ...everywhere, ...named(['queue', 'How long the queue is', '队列', '查看队列长度']) },
  { ...everywhere, ...named(['me', 'Your credits and your jobs', '我的', '你的点数和任务']) },
  {
    ...everywhere,
    ...named(['web', 'Open the page with all your videos', '网页', '打开有你全部视频的网页']),
  },
  {
    ...everywhere,
    ...named(['privacy', 'What is stored, and how to delete it', '隐私', '存储了什么，如何删除']),
  },
  {
    ...named(['rules', 'What moderators allow in this server', '规则', '管理员在本服务器允许什么']),
    default_member_permissions: offeredTo,
    contexts: [InteractionContextType.Guild],
    options: ruleCommands,
  },
  { ...everywhere, ...named(['help', 'How to use Kinora', '帮助', '如何使用 Kinora']) },
];

const reason = text(['reason', 'Why; kept in the audit trail', '原因', '原因，会写入审计记录'], {
  max_length: reasonLength.max,
});
const user = plain(['user', 'A person', '用户', '用户'], Option.User);
/** Whom an allowance or a weight is for: exactly one of the three. */
const targets: LeafOption[] = [
  user,
  plain(['role', 'A role', '身份组', '身份组'], Option.Role),
  text(['community', 'The id of a server', '社区', '服务器的 ID'], { max_length: 64 }),
];
const credits = (limits: Limits): LeafOption =>
  required(whole(['credits', 'How many credits', '点数', '点数数量'], limits));
const weight = required(number(['weight', 'Without one it is 1', '权重', '不设置时为 1'], weightRange));
const hours = number(['hours', 'For how long; for good when absent', '小时', '多久；不填则永久'], banHours);
const jobId = required(text(['job', 'The id of the job', '任务', '任务的 ID'], { max_length: 100 }));

const quotaCommands: Options = [
  subcommand(['show', 'Shows an allowance', '查看', '查看配额'], targets),
  subcommand(
    ['set', 'Sets the credits per day', '设置', '设置每日点数'],
    [credits(creditRange), ...targets, reason],
  ),
  subcommand(
    ['grant', 'Gives extra credits', '赠送', '赠送额外点数'],
    [required(user), credits(grantRange), reason],
  ),
  subcommand(['reset', 'Forgets what was used today', '重置', '清除今天的用量'], [...targets, reason]),
];

const weightCommands: Options = [
  subcommand(['show', 'Shows a weight', '查看', '查看权重'], targets),
  subcommand(
    ['set', 'Sets the share relative to others', '设置', '设置相对于他人的份额'],
    [weight, ...targets, reason],
  ),
  subcommand(['reset', 'Removes a weight', '重置', '删除权重'], [...targets, reason]),
  subcommand(['list', 'All weights that are set', '列出', '所有已设置的权重'], [page]),
];

function adminCommand(words: Words, options?: Options): RESTPostAPIChatInputApplicationCommandsJSONBody {
  return { ...named(words), default_member_permissions: offeredTo, ...(options ? { options } : {}) };
}

/** Registered in the servers of the owners only. */
export const adminCommands: RESTPostAPIApplicationCommandsJSONBody[] = [
  adminCommand(['quota', 'Allowances', '配额', '配额'], quotaCommands),
  adminCommand(['weight', "Shares of the workers' time", '权重', '工作进程时间的分配'], weightCommands),
  adminCommand(
    ['ban', 'Refuses all requests of a person', '封禁', '拒绝某个用户的所有请求'],
    [required(user), hours, reason],
  ),
  adminCommand(['unban', 'Lifts a ban', '解封', '解除封禁'], [required(user), reason]),
  adminCommand(['bans', 'Who is banned', '封禁列表', '谁被封禁了'], [page]),
  adminCommand(
    ['pause', 'Takes no requests and begins no job', '暂停', '不接受请求，也不开始任务'],
    [reason],
  ),
  adminCommand(['resume', 'Goes on', '继续', '恢复运行'], [reason]),
  adminCommand(
    ['drain', 'Takes no requests; what waits is still made', '排空', '不接受新请求，完成排队的任务'],
    [reason],
  ),
  adminCommand(['cancel', 'Cancels a job of anybody', '取消', '取消任何人的任务'], [jobId]),
  adminCommand(['stats', 'The queue in numbers', '统计', '队列的统计数字']),
  adminCommand(
    ['audit', 'What admins did', '审计', '管理员做了什么'],
    [whole(['entries', 'How many', '条数', '显示多少条'], { min: 1, max: 25 })],
  ),
];

export const adminCommandNames: ReadonlySet<string> = new Set(adminCommands.map(({ name }) => name));
