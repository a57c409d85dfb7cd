/** Chinese, simplified. Whatever English has and this lacks does not compile. */
import { calledAs } from '../../called-as.ts';
import { type DetailSentences, renderDetail } from '../../error-details.ts';
import type { ErrorCode, SerializedError } from '../../errors.ts';
import type { en, Offered, OfferedModel } from './en.ts';
import { motions } from './motions-zh.ts';
import { buttons, duration, help, jobs, labels, status } from './words-zh.ts';

const people = (count: number): string => `${count} 人`;

const modelLine = ({ id, title, licence, credits: cost }: OfferedModel): string =>
  `${id}：${title}，${cost} 点，许可证 ${licence}。\n`;

/** What /help says: motions, buttons and commands are the same on every platform. */
function helpText(how: string, offered: Offered, options: string): string {
  return (
    `${how}\n` +
    (offered.motions.length > 0
      ? `可用的运动：${offered.motions.map((motion) => motions.names[motion]).join('、')}；可以慢，也可以快。\n`
      : '') +
    `${options}\n` +
    `${(offered.model ?? []).map(modelLine).join('')}` +
    '视频下方的按钮可以做出变化。/queue 查看排队情况，/me 查看点数和任务，/web 打开有你全部视频的网页，/privacy 查看保存了什么。' +
    offered.attributions.map((line) => `\n${line}`).join('')
  );
}

const ofPages = (page: number, pages: number): string => (pages > 1 ? `（第 ${page}/${pages} 页）` : '');

const broken = 'Kinora 出了点问题，管理员可以在日志里查到原因。请稍后再试。';
const crashed = '生成引擎中途停止，已经重新启动。请再试一次。';

/** Whatever else a value can be wrong for. */
const names: Readonly<Record<string, string>> = {
  ...labels,
  'negative prompt': labels.negative,
  camera: '镜头',
  'guidance end': '使用引导的步数比例',
  'motion bucket': '运动量',
  'noise on the picture': '图片噪声',
  credits: '点数',
  'number of entries': '条数',
};
const nameOf = (what: string): string => names[what] ?? `“${what}”`;
const listed = (words: readonly (string | number)[]): string => words.join('、');
const numberFrom = (d: { isWhole: boolean; min: number; max: number; got?: number | undefined }): string =>
  `必须是 ${d.min} 到 ${d.max} 之间的${d.isWhole ? '整数' : '数'}${d.got === undefined ? '' : `，你给的是 ${d.got}`}。`;

/** Formats whose English name holds more than a proper name. */
const formats: Readonly<Record<string, string>> = {
  'icon (ICO)': '图标（ICO）',
  'AVI video': 'AVI 视频',
  'Matroska or WebM video': 'Matroska 或 WebM 视频',
  'MP4 or QuickTime video': 'MP4 或 QuickTime 视频',
  'ZIP archive': 'ZIP 压缩包',
  'gzip archive': 'gzip 压缩包',
  'web page (HTML)': '网页（HTML）',
};
const named = { channels: '频道', roles: '身份组' } as const;
const blocked = { word: '屏蔽词', pattern: '模式' } as const;

const details: DetailSentences = {
  range: (d) => `${nameOf(d.what)}${numberFrom(d)}`,
  oneOf: ({ what, allowed }) => `${nameOf(what)}必须是 ${listed(allowed)} 之一。`,
  yesOrNo: ({ what, factors }) => `选项“${what}”只能是 ${listed(['yes', 'no', ...(factors ?? [])])}。`,
  nameForm: ({ what }) => `${what}必须是由小写字母、数字、点、连字符或下划线组成的名称。`,
  noSuchModel: ({ got, models }) =>
    models.length === 0
      ? `现在没有工作进程提供模型“${got}”，也没有其他模型。`
      : `现在没有工作进程提供模型“${got}”，可用的有：${listed(models)}。`,
  unknownOption: ({ got, known }) => `没有“${got}”这个选项，可用的有：${listed(known)}。`,
  givenTwice: ({ what }) => `选项“${what}”写了两次。`,
  sizeForm: ({ got }) => `尺寸要写成 512 或 640x384 的样子${got === undefined ? '' : `，你给的是“${got}”`}。`,
  outOfRange: (d) => `${nameOf(d.what)}${numberFrom(d)}`,
  notOneOf: ({ what, allowed, got }) => `${nameOf(what)}必须是 ${listed(allowed)} 之一，你给的是“${got}”。`,
  sizeLimits: ({ width, height, multiple, side, pixels }) =>
    `尺寸不能是 ${width}x${height}：宽和高都必须是 ${multiple} 的倍数，在 ${side.min} 到 ${side.max} 之间，总像素数在 ${pixels.min} 到 ${pixels.max} 之间。`,
  otherPicture: ({ videoId }) => `视频 ${videoId} 是用另一张图片生成的，变化需要同一张图片。`,
  otherShape: ({ videoId, numFrames, width, height }) =>
    `视频 ${videoId} 有 ${numFrames} 帧，尺寸是 ${width}x${height}，变化必须与它相同。`,
  tooLong: ({ seconds, max }) => `续写后的视频会有 ${seconds} 秒，最长 ${max} 秒。`,
  maskShape: ({ width, height, pictureWidth, pictureHeight }) =>
    `蒙版是 ${width} x ${height} 像素，图片是 ${pictureWidth} x ${pictureHeight}；两者的形状必须相同。`,
  maskEmpty: () => '蒙版全是黑色，什么都不会动；请把要动的地方涂成白色。',
  maskUnreadable: () => '无法读取蒙版；请使用 PNG 或 JPEG 图片，要动的地方是白色，其余是黑色。',
  encoderKilled: ({ by }) => `写入视频的程序被终止了（${by}）。`,
  cannotFit: ({ smallestBytes, maxBytes }) =>
    `这个视频最小只能压缩到 ${smallestBytes} 字节，而这里最多允许 ${maxBytes} 字节。`,
  promptLength: ({ what, got, max }) => `${nameOf(what)}有 ${got} 个字符，最多 ${max} 个。`,
  promptText: ({ what, character }) => `${nameOf(what)}不是纯文字（含有 ${character}）。`,
  pictureFormat: ({ name }) =>
    name === undefined ? '无法识别这张图片的格式。' : `不支持这种格式：${formats[name] ?? name}。`,
  pictureFile: ({ megabytes, maxMegabytes }) => `图片有 ${megabytes} MB，最多 ${maxMegabytes} MB。`,
  pictureSize: ({ width, height, minSide, maxPixels }) =>
    `图片是 ${width}×${height} 像素，至少要有 ${minSide}×${minSide} 像素，最多 ${maxPixels / 1e4} 万像素。`,
  notANumber: ({ got }) => `“${got}”不是数字。`,
  target: ({ got }) => `“${got}”不是有效的对象，要写成“user:discord:123”、“role:…”或“community:…”的样子。`,
  owner: ({ got }) => `“${got}”不是用户或社区，要写成“discord:123”的样子。`,
  reasonLength: ({ got, max }) => `原因有 ${got} 个字符，最多 ${max} 个。`,
  banEnd: () => '封禁要在 1 毫秒到 10 年之内结束，或者没有期限。',
  banHours: ({ min, max }) => `封禁时长为 ${min} 到 ${max} 小时；不写小时数就是永久。`,
  weight: ({ min, max, got }) => `权重要在 ${min} 到 ${max} 之间，你给的是 ${got}。`,
  auditId: () => '这不是操作记录的编号。',
  page: ({ max }) => `页码要在 1 到 ${max} 之间。`,
  highestPreset: ({ allowed }) => `最高预设必须是 ${listed(allowed)} 之一。`,
  tooManyNamed: ({ what, max, got }) => `最多可以指定 ${max} 个${named[what]}，现在有 ${got} 个。`,
  notNamed: ({ what, got }) =>
    `“${got}”不是${named[what]}，请写编号${what === 'channels' ? '，或者写“here”' : ''}。`,
  patternForm: () => '模式写在两个斜杠之间，后面不加任何东西，例如 /colou?r/；其中的斜杠写成 \\/。',
  pattern: () => '有一个模式的写法不对。',
  patternFitsAll: () => '有一个模式会匹配所有提示词，连空的也匹配。',
  patternSize: ({ max, got }) =>
    `所有模式加起来最多 ${max} 步，现在有 ${got} 步；请减少重复，或者把重复的次数写小。`,
  blockedLength: ({ what, min, max, got }) =>
    `${blocked[what]}要有 ${min} 到 ${max} 个字符，现在有 ${got} 个。`,
  blockedCount: ({ min, max, got }) => `屏蔽词可以有 ${min} 到 ${max} 个，现在有 ${got} 个。`,
};

/** What people read when nothing is known but the code. */
const failures: Readonly<Record<ErrorCode, string>> = {
  INTERNAL: broken,
  INVALID_OPTION: '有一个选项不对，请改正后再试。',
  INVALID_PROMPT: '提示词不能用，请换成短一些的纯文字，例如“镜头缓缓推近”。',
  INVALID_CONFIG: broken,
  VIDEO_NOT_FOUND: '那个视频已经不在这里了。请重新发送图片；只有近期的视频可以变化或续写。',
  IMAGE_NOT_FOUND: '图片已经不在这里了，请重新发送。',
  IMAGE_UNSUPPORTED: '不支持这种图片，请转成 JPEG、PNG 或 WebP，或者发送截图。',
  IMAGE_UNREADABLE: '图片好像损坏了。请另存为 JPEG 或 PNG 后再发送。',
  IMAGE_TOO_LARGE: '图片太大，请缩小后再发送。',
  IMAGE_TOO_SMALL: '图片太小，请发送大一些的图片。',
  PACK_NOT_FOUND: broken,
  PACK_INVALID: broken,
  DEVICE_UNAVAILABLE: broken,
  OUT_OF_MEMORY: '内存不够。请选择更小的预设、更小的尺寸或更少的帧数。',
  ENGINE_CRASHED: crashed,
  ENGINE_HUNG: `${crashed}如果再次发生，请选择更小的预设。`,
  BAD_NUMBERS: '模型没有得出可用的画面。请换一个种子，或降低引导强度。',
  OUTPUT_UNWRITABLE: broken,
  DISK_FULL: '服务器的磁盘已满，需要管理员清理空间。请稍后再试。',
  STORAGE_FAILED: '现在无法保存或读取图片和视频，请过几分钟再试。',
  FFMPEG_MISSING: broken,
  ENCODE_FAILED: '视频写入失败。请再试一次，或告诉管理员。',
  EXPIRED: '排队时间太长，任务已过期。请等队伍短一些再试。',
  CANCELLED: '已取消。',
};

/** What to do, behind the sentence about what exactly is wrong with what the person sent. */
const remedies: Readonly<Partial<Record<ErrorCode, string>>> = {
  INVALID_OPTION: '请改正后再试。',
  INVALID_PROMPT: '请换成短一些的纯文字，例如“镜头缓缓推近”。',
  IMAGE_UNSUPPORTED: '请转成 JPEG、PNG 或 WebP，或者发送截图。',
  IMAGE_TOO_LARGE: '请缩小后再发送。',
  IMAGE_TOO_SMALL: '请发送大一些的图片。',
};

function failure({ code, detail }: SerializedError): string {
  const remedy = remedies[code];
  return detail && remedy ? `${renderDetail(details, detail)}${remedy}` : failures[code];
}

export const zh: typeof en = {
  duration,
  people,
  buttons,
  status,
  help,
  motions,

  result: {
    caption: ({ prompt, seed, preset, seconds, cost }) =>
      `${prompt ? `“${prompt}” · ` : ''}种子 ${seed} · ${preset} · 用时 ${seconds} · 消耗 ${cost} 点`,
    reused: (what, savedSeconds) =>
      `沿用了之前的计算：${what.join('、')}${savedSeconds ? `，节省 ${savedSeconds} 秒` : ''}。`,
    picture: '对图片的分析',
    video: '之前的视频',
    compressed: '已压缩，以符合这里的大小限制。',
    reduced: (preset) => `内存不足，无法按你的要求生成，因此改用了 ${preset} 预设。`,
    cancelled: '已取消，没有扣点。',
    refunded: '没有扣点。',
    smoothed: '已变流畅：帧数变为三倍。',
    looped: '正放再倒放，循环播放。',
    deleted: '已删除。',
    ready: '你的视频好了。',
  },

  refusal: {
    banned: (until, reason) =>
      `你${until ? `在 ${until} 之前` : ''}不能使用 Kinora${reason ? `：${reason}` : ''}。`,
    paused: 'Kinora 已被管理员暂停，请稍后再试。',
    draining: 'Kinora 即将重启，暂不接受新任务，请过一会儿再试。',
    queueFull: (limit) => `队列已满（${jobs(limit)}），请几分钟后再试。`,
    userFull: (limit) => `你已有 ${jobs(limit)}在排队，达到上限。请等一个完成，或取消一个。`,
    communityFull: (limit) => `这里已有 ${jobs(limit)}在排队，达到上限。请稍后再试。`,
    cooldown: (ms) => `请稍等，${duration(ms)}后可以再次提交。`,
    quota: ({ used, limit, granted, cost, backInMs }) =>
      `这需要 ${cost} 点，但你今天的 ${limit} 点已经用了 ${used} 点${granted ? `（另有 ${granted} 点额外点数）` : ''}。${backInMs === undefined ? '每天会重新恢复' : `${duration(backInMs)}后重新恢复`}。`,
    diskFull: '服务器的磁盘已满，需要管理员清理空间，请稍后再试。',
    unavailable: '暂时连不上队列，没有扣点，请一分钟后再试。',
    duplicate: '这个任务已经在队列里了。',
    notYours: '只有发起的人可以这样做。想玩的话，请自己提交一次这张图片。',
    gone: '那个视频已经不在这里了，请重新提交图片。',
    notAdmin: '只有这个 Kinora 的管理员可以这样做。',
    finished: '那个任务已经结束了。',
    noPicture: '这需要一张静态图片：请和命令一起发送，或者回复一张图片。',
    tooLarge: (megabytes) => `图片太大，最多 ${megabytes} MB。`,
    notDownloaded: '图片没有取到，请重新发送。',
    noPrivateChat: 'Kinora 无法私下回复你。请先打开与它的私聊并按“开始”，再用自己的名义在这里重新发送。',
    noRights: 'Kinora 没有在这里发送视频的权限，需要本群管理员开启。',
  },

  offer: {
    ask: '想让画面怎么动？选择一种运动，或在下一条消息里写出来。',
    motions: { zoom: '推近', pan: '平移', waves: '水波' },
    own: '自己写',
    write: '写下什么在动、怎么动，例如“云慢慢飘过”；也可以加上选项，例如 motion=high。',
  },

  models: {
    choice: (title, cost) => `${title} · ${cost} 点`,
    again: (title) => `用 ${title} 再做一次`,
    gone: '已经没有工作进程提供这个模型了，请选择其他模型。',
  },

  remix: {
    ask: '回复这条消息，写上新的提示词；其他一切保持不变。也可以加上选项，例如 motion=high。原来的提示词：',
    noPrompt: '（无）',
  },

  commands: {
    animate: '作为图片的说明，或回复一张图片：让它动起来',
    queue: '有多少任务在排队，你的排在哪里',
    me: '你的点数和任务',
    web: '打开有你全部视频的网页',
    privacy: '保存了你的哪些数据；删除它们',
    help: '发送什么，以及所有选项',
  },
  rulesCommand: '本群允许什么：话题、预设、词语、视频遮罩',

  web: {
    link: (minutes) =>
      `这个链接会打开你的网页：你的全部视频，以及在这里能做的一切。它只能用一次，${minutes} 分钟内有效；谁打开它，谁就是你，请不要转发。`,
    sentPrivately: '网页链接已发到你与 Kinora 的私聊。',
    noAddress: '网页目前还打不开。请让这个 Kinora 的所有者设置它的地址。',
    setAddress:
      '网页还没有地址：请把 KINORA_PUBLIC_URL 设为大家访问它的地址，例如 https://kinora.example，然后重新启动 Kinora。做法见 docs/web.md。',
    ownName: '网页只属于一个人：请用自己的名义发送 /web。',
  },

  settings: {
    title: '这个视频的参数',
    copy: '再做一次：',
    yes: '是',
    labels,
  },

  me: {
    credits: (used, limit, granted) =>
      `点数：今天已用 ${used} / ${limit}${granted ? `，另有额外 ${granted} 点` : ''}。`,
    none: '你没有排队中的任务。',
    id: (userKey) => `你的编号：${userKey}`,
    jobs: '你的任务：',
    more: (count) => `……还有 ${count} 个。`,
    job: (state, prompt) => `${state}：${prompt || '（没有提示词）'}`,
    states: {
      reserved: '已接受',
      waiting: '排队中',
      running: '生成中',
      generated: '已完成',
      delivering: '上传中',
      failed: '失败',
      cancelled: '已取消',
    },
  },

  queue: {
    empty: '队列是空的。',
    summary: (waiting, running) =>
      waiting === 0
        ? `没有任务在排队，${running} 个正在生成。`
        : `${jobs(waiting)}在排队，${running} 个正在生成。`,
    paused: 'Kinora 已暂停。',
    draining: 'Kinora 暂不接受新任务。',
    stranded: '你的任务：等待有工作进程提供它所用的模型，你也可以取消。',
    yours: (ahead, left) =>
      `你的任务：${ahead === 0 ? '下一个就是' : `前面还有 ${jobs(ahead)}`}${left ? `，大约 ${left}后完成` : ''}。`,
  },

  privacy: {
    text: (days) =>
      `为了让按钮可用，Kinora 会把你的图片、提示词和视频保存 ${days} 天，另外保存聊天中显示的你的名字、每天的点数和为你的图片算出的中间结果。任何数据都不会离开这台服务器。“全部删除”会清除这一切，只保留封禁记录和今天已用的点数。`,
    deleteAll: '全部删除',
    deleted: (jobCount) => `完成：已删除 ${jobs(jobCount)}以及相关的全部数据。`,
    later: (jobCount) => `还有 ${jobs(jobCount)}无法立即结束，其余数据稍后会自动删除。`,
  },

  helpText: {
    captions: (offered) =>
      helpText(
        offered.prompt
          ? '发送一张图片，并用几个词描述怎么动，例如“镜头缓缓推近，海浪翻滚”。在群里请以 /animate 开头，或用 /animate 加上描述回复一张图片。'
          : `发送一张图片。${status.looksOnly}在群里请以 /animate 开头，或用 /animate 回复一张图片。`,
        offered,
        `选项，写在描述里任何位置：preset=fast|standard|high|creative，${offered.model ? `model=${offered.model.map(({ id }) => id).join('|')}，` : ''}motion=low|medium|high，seed=数字，frames=数字，fps=数字，${offered.guidance ? 'guidance=数字，' : ''}${offered.negative ? 'negative="…"，' : ''}loop，smooth，private（在群里：只发给你）。`,
      ),
    commands: (offered) =>
      helpText(
        offered.prompt
          ? '使用 /animate，附上一张图片和几个描述运动的词，例如“镜头缓缓推近，海浪翻滚”；或在任何带图片的消息上选择 应用 > 让图片动起来。'
          : `使用 /animate 并附上一张图片；或在任何带图片的消息上选择 应用 > 让图片动起来。${status.looksOnly}`,
        offered,
        `/animate 的选项：预设（花多少时间）、${offered.model ? '模型、' : ''}运动、${offered.camera ? '镜头、' : ''}种子（相同的种子得到相同的视频）、${offered.negative ? '反向提示词、' : ''}帧数、帧率、${offered.guidance ? '引导强度、' : ''}循环、流畅、私密（只有你能看到）。`,
      ),
  },

  discord: {
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
    prompt: '什么要动，怎么动？',
    promptExample: '镜头缓缓推近，海浪翻滚',
    negative: '不要出现什么？',
  },

  api: {
    badRequest: '请求的格式不对，正确的格式见 /docs。',
    invalidKey: `需要密钥：“Authorization: Bearer kinora_…”。请这个 Kinora 的所有者用 “${calledAs('keys', 'create NAME')}” 生成一个。`,
    wrongScope: '这个密钥没有这项权限，请向这个 Kinora 的所有者要一个权限合适的密钥。',
    signedOut:
      '你已不在登录状态。请在 Discord 或 Telegram 里向 Kinora 发送 /web 获取新链接，或向这个 Kinora 的所有者索取。',
    linkUsed:
      '这个链接已被使用或已过期。请在 Discord 或 Telegram 里向 Kinora 发送 /web 获取新链接，或向这个 Kinora 的所有者索取。',
    nameNeeded: '请取一个 1 到 64 个字符的名字。',
    sessionNeeded: '密钥只能由登录网页工作室的人在那里创建和撤销。',
    keyNotFound: '你没有这个密钥。',
    keyLimit: '你已有 20 个密钥，达到上限，请先撤销一个。',
    sessionNotFound: '你没有在那里登录；/v1/sessions 会列出你登录的地方。',
    otherOrigin:
      '这个请求来自其他网站，或并非来自浏览器；请改用密钥而非 Cookie。如果 Kinora 前面有代理，请将 KINORA_PUBLIC_URL 设为其地址。',
    unknownHost: '这个 Kinora 不认识这个名称。请用其地址打开，或将 KINORA_PUBLIC_URL 设为该名称。',
    pageNotBuilt: '网页尚未构建：请运行 “npm run build:page”，然后重新启动 Kinora。',
    methodNotAllowed: '这个地址不支持此方法，支持的方法见响应头 Allow 和 /docs。',
    notFound: '这里什么也没有，所有地址见 /docs。',
    videoNotFound: '你的视频里没有这一个。',
    notReady: '视频还没有做好，请按 Retry-After 的秒数后再问。',
    hasFailed: '视频没有做成，原因见它的 “error”。',
    finished: '视频已经结束，可以改为删除它。',
    otherBody: '这个 Idempotency-Key 已用于另一个请求，请为每个请求使用新的。',
    idempotencyForm: 'Idempotency-Key 应为 1 到 255 个可见的 ASCII 字符。',
    webhookUrl: 'Webhook 的 url 应为 http 或 https 地址，不含密码，也不能指向本机或内网。',
    webhookNotFound: '你的 webhook 里没有这一个。',
    webhookLimit: '你已有 10 个 webhook，达到上限，请先删除一个。',
    noUploads: '这里不能把图片直接上传到存储。请随视频请求一起发送图片。',
    uploadLimit: '你已有 20 个未使用的上传，达到上限。请先用它们生成视频；未使用的会在一小时后删除。',
    variantNotMade: '这个版本还没有生成：对该视频 POST /smooth 或 /loop 即可生成。',
    transforming: '一次只能做一个：你的另一个片段还在处理，请稍后再试。',
    expired: '视频已不在这里保存，请重新让图片动起来。',
    noPicture:
      '请用 input_reference 发送图片：表单里的文件、图片的 http 或 https 地址，或 “data:image/jpeg;base64,…” 这样的 data URL。',
    pictureUrl: {
      malformed: '图片地址应以 https:// 或 http:// 开头，不含用户名和密码。请改正地址，或直接发送图片。',
      notPublic: '图片地址指向本机或内网，不会从那里取图片。请直接发送图片。',
      redirects: (most) => `图片地址的重定向超过 ${most} 次，请填写最终的地址。`,
      answered: (status) => `图片所在的服务器返回了状态码 ${status}。请检查地址，或直接发送图片。`,
      silent: (seconds) => `${seconds} 秒内没有从图片地址取到图片。请检查地址，或直接发送图片。`,
    },
    unknownModel: (models) => `模型只能是 ${models}，也可以不写。`,
    tooManyUploads: (megabytes) => `同时接收的请求总共不超过 ${megabytes} MB，请稍后再试。`,
    tooManyStreams: (streams) => `同时最多打开 ${streams} 个事件流，请稍后再试。`,
    bodyTooLarge: '请求太大，请缩小图片后再试。',
    mediaType: '请用 multipart/form-data 或 application/json 发送请求。',
    range: '文件没有那么长，请请求文件范围内的部分。',
    unavailable: '暂时连不上队列。没有扣除积分，请过一分钟再试。',
    rateLimited: (calls, seconds) => `${seconds} 秒内最多处理 ${calls} 次请求。请稍等，然后放慢速度。`,
  },

  failure,

  rules: {
    refused: {
      channel: '这里的管理员只允许在指定的频道使用 Kinora，本频道不在其中。',
      asChannel:
        '这里不接受以频道身份提出的请求。请用自己的名字发送，或者请群管理员发送 /rules aschannel on。',
      role: '这里的管理员只允许指定的身份组使用 Kinora，你不在其中。',
      age: '这里的管理员只允许在有年龄限制的频道使用 Kinora。',
      preset: (allowed) => `这里的管理员只允许这些预设：${allowed}。`,
      frames: (most) => `这里的管理员最多允许 ${most} 帧。`,
      steps: (most) => `这里的管理员最多允许 ${most} 步。`,
      size: (most) => `这里的管理员最多允许 ${most}x${most} 的尺寸。`,
      word: (hint) =>
        `你的提示词里有这里的管理员屏蔽的内容${hint ? `（以“${hint}”开头）` : ''}，请换个说法。`,
    },
    notHere: '规则属于服务器或群组，请在那里发送。',
    notModerator: '只有本社区的管理员可以这样做。',
    noAge: '这个平台没有年龄限制的频道。',
    noChannels: '这里没有频道或话题。',
    noRoles: '这个平台没有身份组。',
    usage:
      'rules show · rules channels|roles allow|clear [编号 …]（“here”指本频道）· rules spoiler|age|aschannel on|off · rules words add|remove|list [词 "两个 词" /正则/ …] · rules preset fast|standard|high|creative|any',
    labels: {
      channels: '频道',
      roles: '身份组',
      spoiler: '视频加剧透遮罩',
      age: '仅限有年龄限制的频道',
      asChannel: '以频道身份提出的请求',
      preset: '最高预设',
      words: '屏蔽词',
    },
    everywhere: '全部',
    everybody: '所有人',
    any: '不限',
    on: '开',
    off: '关',
    noWords: '没有屏蔽任何词。',
    words: (count, page, pages) => `屏蔽词：${count} 个${ofPages(page, pages)}`,
  },

  admin: {
    commands: {
      quota: 'quota show|set|grant|reset 对象 [数字]',
      weight: 'weight list|show|set|reset 对象 [数字]',
      ban: 'ban 用户 [小时] [原因]',
      unban: 'unban 用户',
      bans: 'bans [页码]',
      pause: 'pause',
      resume: 'resume',
      drain: 'drain',
      cancel: 'cancel 任务',
      stats: 'stats',
      audit: 'audit',
    },
    help: (usage) => `管理员命令：${usage}`,
    done: '完成。',
    unchanged: '没有需要改动的。',
    unknown: (text) => `看不懂“${text}”。`,
    missing: (what) => `缺少：${what}。`,
    severalTargets: '只能指定一个对象：用户、身份组或社区。',
    idOrHours: (hours, target) => `这个数字可能是用户，也可能是小时数。请写“${target}”或“${hours}”。`,
    idOrCredits: (credits, target) =>
      `这个数字可能是用户，也可能是点数。请写“${target}”和点数，或者“${credits}”。`,
    quota: (target, { limit, source, used, granted, left }) =>
      `${target}：今天已用 ${used} / ${limit} 点（限额来自${source}），额外 ${granted} 点，还剩 ${left} 点。`,
    limit: (target, limit) =>
      limit === undefined ? `${target}：没有单独的限额。` : `${target}：每天 ${limit} 点。`,
    granted: (target, total) => `${target} 现在有 ${total} 点额外点数。`,
    usersOnly: '这只适用于用户。',
    banned: (target, until) => `${target} 已被封禁${until ? `，直到 ${until} (UTC)` : '，没有期限'}。`,
    unbanned: (target) => `${target} 已解除封禁。`,
    noBans: '没有人被封禁。',
    bans: (count, page, pages) => `被封禁的：${count} 个${ofPages(page, pages)}`,
    banLasts: (until) => (until ? `直到 ${until} (UTC)` : '没有期限'),
    weight: (target, weight) =>
      weight === undefined
        ? `${target}：没有单独的权重。`
        : `${target}：权重 ${weight}。有任务排队时，分到的时间是权重为 1 的用户的 ${weight} 倍。`,
    noWeights: '没有设置权重，所有用户的权重都是 1。',
    weights: (count, page, pages) => `权重：${count} 项${ofPages(page, pages)}`,
    sources: { user: '用户', role: '身份组', community: '社区', default: '默认设置' },
    modes: { running: '运行中', paused: '已暂停', draining: '不接受新任务' },
    stats: (p) =>
      `队列：${p.mode}\n排队：${p.waiting} · 生成中：${p.running} · 回复中：${p.answering}\n工作进程：${p.alive} 个（${p.busy} 个忙碌${p.unloaded > 0 ? `，${p.unloaded} 个已卸载模型` : ''}${p.quiet > 0 ? `，${p.quiet} 个处于安静时段` : ''}）\n今天已用点数：${p.creditsUsed}`,
    stranded: (list) =>
      `没有工作进程提供这些排队任务所用的模型：${list}。请启动提供该模型的工作进程，或取消它们。`,
    failures: (list) => `至今的失败：${list}`,
    noAudit: '还没有任何操作记录。',
  },
};
