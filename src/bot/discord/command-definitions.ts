/**
 * The commands as Discord is told about them, in English and Chinese, and where they are registered. Who may use them
 * is decided by their handlers, not here: what Discord's own permissions say is no boundary.
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
import { banMs } from '../../queue/bans.ts';
import { creditRange, grantRange } from '../../queue/quota.ts';
import { weightRange } from '../../queue/weights.ts';
import { motions } from '../../request/model-limits.ts';
import { presetNames } from '../../request/presets.ts';
import { cameras, optionTable } from '../../request/request.ts';

type Options = NonNullable<RESTPostAPIChatInputApplicationCommandsJSONBody['options']>;
type LeafOption = Exclude<Options[number], { type: Option.Subcommand | Option.SubcommandGroup }>;

/** What Discord lets people type into the option; the conversation checks again. */
export const maxPromptLength = 500;
const maxReason = reasonLength.max;

const everywhere = {
  integration_types: [ApplicationIntegrationType.GuildInstall, ApplicationIntegrationType.UserInstall],
  contexts: [
    InteractionContextType.Guild,
    InteractionContextType.BotDM,
    InteractionContextType.PrivateChannel,
  ],
};

/** English, and the same in Chinese: a name and a description. */
function named(name: string, description: string, zhName: string, zhDescription: string) {
  return {
    name,
    description,
    name_localizations: { 'zh-CN': zhName, 'zh-TW': zhName },
    description_localizations: { 'zh-CN': zhDescription, 'zh-TW': zhDescription },
  };
}

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
  return {
    ...named('action', 'What to do', '操作', '要做什么'),
    type: Option.String,
    required: true,
    choices: choicesOf(values),
  };
}

const page: LeafOption = {
  ...named('page', 'Page of the list', '页', '列表的页码'),
  type: Option.Integer,
  min_value: 1,
};

const animateOptions: LeafOption[] = [
  {
    ...named('image', 'The picture: JPEG, PNG or WebP', '图片', '图片：JPEG、PNG 或 WebP'),
    type: Option.Attachment,
    required: true,
  },
  {
    ...named(
      'prompt',
      'What moves and how, for example: camera slowly zooming in, waves rolling',
      '提示词',
      '什么在动、怎么动，例如：镜头缓缓推近，海浪翻滚',
    ),
    type: Option.String,
    max_length: maxPromptLength,
  },
  {
    ...named('preset', 'How much time goes into it', '预设', '花多少时间生成'),
    type: Option.String,
    choices: choicesOf(presetNames),
  },
  {
    ...named('motion', 'How much moves', '运动', '运动的幅度'),
    type: Option.String,
    choices: choicesOf(motions),
  },
  {
    ...named('camera', 'What the camera does', '镜头', '镜头的运动'),
    type: Option.String,
    choices: choicesOf(cameras),
  },
  {
    ...named('seed', 'The same seed gives the same video', '种子', '相同的种子得到相同的视频'),
    type: Option.Integer,
    min_value: optionTable.seed.min,
    max_value: optionTable.seed.max,
  },
  {
    ...named('negative', 'What should not appear', '反向提示词', '不要出现的内容'),
    type: Option.String,
    max_length: maxPromptLength,
  },
  {
    ...named('frames', 'How many frames', '帧数', '视频的帧数'),
    type: Option.Integer,
    min_value: optionTable.numFrames.min,
    max_value: optionTable.numFrames.max,
  },
  {
    ...named('guidance', 'How closely the prompt is followed', '引导强度', '遵循提示词的程度'),
    type: Option.Number,
    min_value: optionTable.guidanceScale.min,
    max_value: optionTable.guidanceScale.max,
  },
  { ...named('loop', 'Play forwards and back', '循环', '正放后倒放'), type: Option.Boolean },
  { ...named('smooth', 'Three times the frames', '流畅', '帧数增加到三倍'), type: Option.Boolean },
  { ...named('private', 'Only you see the answer', '私密', '只有你能看到回复'), type: Option.Boolean },
];

/** What can be chosen with /animate, by the words of the options. */
export const animateOptionNames: ReadonlySet<string> = new Set(animateOptions.map(({ name }) => name));

export const publicCommands: RESTPostAPIApplicationCommandsJSONBody[] = [
  {
    ...everywhere,
    ...named('animate', 'Turn a picture into a short video', '动画', '把图片变成短视频'),
    options: animateOptions,
  },
  {
    ...everywhere,
    type: ApplicationCommandType.Message,
    name: 'Animate',
    name_localizations: { 'zh-CN': '让图片动起来', 'zh-TW': '讓圖片動起來' },
  },
  { ...everywhere, ...named('queue', 'How long the queue is', '队列', '查看队列长度') },
  { ...everywhere, ...named('me', 'Your credits and your jobs', '我的', '你的点数和任务') },
  {
    ...everywhere,
    ...named('privacy', 'What is stored, and how to delete it', '隐私', '存储了什么，如何删除'),
  },
  {
    ...named('rules', 'What moderators allow in this server', '规则', '管理员在本服务器允许什么'),
    // Only for tidiness: whoever gets around it is refused all the same.
    default_member_permissions: String(PermissionFlagsBits.ManageGuild),
    contexts: [InteractionContextType.Guild],
    options: [
      { ...named('show', 'Shows the rules', '查看', '查看规则'), type: Option.Subcommand },
      {
        ...named('channels', 'Where Kinora may be used', '频道', '在哪些频道可以使用'),
        type: Option.Subcommand,
        options: [
          actions('allow', 'clear'),
          { ...named('channel', 'A channel', '频道', '频道'), type: Option.Channel },
        ],
      },
      {
        ...named('roles', 'Who may use Kinora', '身份组', '哪些身份组可以使用'),
        type: Option.Subcommand,
        options: [
          actions('allow', 'clear'),
          { ...named('role', 'A role', '身份组', '身份组'), type: Option.Role },
        ],
      },
      {
        ...named('spoiler', 'Whether videos are covered', '遮罩', '是否遮住视频'),
        type: Option.Subcommand,
        options: [actions('on', 'off')],
      },
      {
        ...named('age', 'Only in age-restricted channels', '年龄', '仅限年龄限制频道'),
        type: Option.Subcommand,
        options: [actions('on', 'off')],
      },
      {
        ...named('preset', 'The highest preset', '预设', '最高预设'),
        type: Option.Subcommand,
        options: [actions(...presetNames, 'any')],
      },
      {
        ...named('words', 'Blocked words', '词语', '屏蔽的词语'),
        type: Option.Subcommand,
        options: [
          actions('add', 'remove', 'list'),
          {
            ...named(
              'words',
              'One or more: word "two words" /pattern/',
              '词语',
              '一个或多个：词 "两个 词" /模式/',
            ),
            type: Option.String,
            max_length: 1_000,
          },
          page,
        ],
      },
    ],
  },
  { ...everywhere, ...named('help', 'How to use Kinora', '帮助', '如何使用 Kinora') },
];

const reason: LeafOption = {
  ...named('reason', 'Why; kept in the audit trail', '原因', '原因，会写入审计记录'),
  type: Option.String,
  max_length: maxReason,
};
const user: LeafOption = { ...named('user', 'A person', '用户', '用户'), type: Option.User };
/** Whom an allowance or a weight is for: exactly one of the three. */
const targets: LeafOption[] = [
  user,
  { ...named('role', 'A role', '身份组', '身份组'), type: Option.Role },
  {
    ...named('community', 'The id of a server', '社区', '服务器的 ID'),
    type: Option.String,
    max_length: 64,
  },
];
const credits = (min: number, max: number): LeafOption => ({
  ...named('credits', 'How many credits', '点数', '点数数量'),
  type: Option.Integer,
  required: true,
  min_value: min,
  max_value: max,
});
const required = (option: LeafOption): LeafOption => ({ ...option, required: true });

/** Only for the servers of the owners. */
export const adminCommands: RESTPostAPIApplicationCommandsJSONBody[] = [
  {
    ...named('quota', 'Allowances', '配额', '配额'),
    options: [
      {
        ...named('show', 'Shows an allowance', '查看', '查看配额'),
        type: Option.Subcommand,
        options: targets,
      },
      {
        ...named('set', 'Sets the credits per day', '设置', '设置每日点数'),
        type: Option.Subcommand,
        options: [credits(creditRange.min, creditRange.max), ...targets, reason],
      },
      {
        ...named('grant', 'Gives extra credits', '赠送', '赠送额外点数'),
        type: Option.Subcommand,
        options: [required(user), credits(grantRange.min, grantRange.max), reason],
      },
      {
        ...named('reset', 'Forgets what was used today', '重置', '清除今天的用量'),
        type: Option.Subcommand,
        options: [...targets, reason],
      },
    ],
  },
  {
    ...named('weight', "Shares of the workers' time", '权重', '工作进程时间的分配'),
    options: [
      {
        ...named('show', 'Shows a weight', '查看', '查看权重'),
        type: Option.Subcommand,
        options: targets,
      },
      {
        ...named('set', 'Sets the share relative to others', '设置', '设置相对于他人的份额'),
        type: Option.Subcommand,
        options: [
          {
            ...named('weight', 'Without one it is 1', '权重', '不设置时为 1'),
            type: Option.Number,
            required: true,
            min_value: weightRange.min,
            max_value: weightRange.max,
          },
          ...targets,
          reason,
        ],
      },
      {
        ...named('reset', 'Removes a weight', '重置', '删除权重'),
        type: Option.Subcommand,
        options: [...targets, reason],
      },
      {
        ...named('list', 'All weights that are set', '列出', '所有已设置的权重'),
        type: Option.Subcommand,
        options: [page],
      },
    ],
  },
  {
    ...named('ban', 'Refuses all requests of a person', '封禁', '拒绝某个用户的所有请求'),
    options: [
      required(user),
      {
        ...named('hours', 'For how long; for good when absent', '小时', '多久；不填则永久'),
        type: Option.Number,
        min_value: 0,
        max_value: banMs.max / 3_600_000,
      },
      reason,
    ],
  },
  { ...named('unban', 'Lifts a ban', '解封', '解除封禁'), options: [required(user), reason] },
  { ...named('bans', 'Who is banned', '封禁列表', '谁被封禁了'), options: [page] },
  {
    ...named('pause', 'Takes no requests and begins no job', '暂停', '不接受请求，也不开始任务'),
    options: [reason],
  },
  { ...named('resume', 'Goes on', '继续', '恢复运行'), options: [reason] },
  {
    ...named('drain', 'Takes no requests; what waits is still made', '排空', '不接受新请求，完成排队的任务'),
    options: [reason],
  },
  {
    ...named('cancel', 'Cancels a job of anybody', '取消', '取消任何人的任务'),
    options: [
      {
        ...named('job', 'The id of the job', '任务', '任务的 ID'),
        type: Option.String,
        required: true,
        max_length: 100,
      },
    ],
  },
  { ...named('stats', 'The queue in numbers', '统计', '队列的统计数字') },
  {
    ...named('audit', 'What admins did', '审计', '管理员做了什么'),
    options: [
      {
        ...named('entries', 'How many', '条数', '显示多少条'),
        type: Option.Integer,
        min_value: 1,
        max_value: 25,
      },
    ],
  },
];

export const adminCommandNames: ReadonlySet<string> = new Set(adminCommands.map(({ name }) => name));
