/** English. */
import { calledAs } from '../../called-as.ts';
import { type ErrorCode, remedyOf, type SerializedError } from '../../errors.ts';
import type { MotionKind } from '../../request/motions.ts';
import type { AdminCommandName } from '../admin/commands.ts';
import { motions } from './motions-en.ts';
import { buttons, credits, duration, help, jobs, labels, status } from './words-en.ts';

const people = (count: number): string => (count === 1 ? '1 person' : `${count} people`);

/** The motions of the model, whether it heeds an option that it may ignore, and what its licence wants to be said. */
export interface Offered {
  readonly attributions: readonly string[];
  readonly prompt: boolean;
  readonly camera: boolean;
  readonly motions: readonly MotionKind[];
  readonly negative: boolean;
  readonly guidance: boolean;
  /** There is more than one, the default first. */
  readonly model: readonly OfferedModel[] | undefined;
}

export interface OfferedModel {
  /** As it is typed. */
  readonly id: string;
  readonly title: string;
  readonly licence: string;
  readonly readsWords: boolean;
  /** Of a video of the usual preset. */
  readonly credits: number;
}

const modelLine = ({ id, title, licence, credits: cost }: OfferedModel): string =>
  `${id}: ${title}, ${credits(cost)}, licence ${licence}.\n`;

/** What /help says: motions, buttons and commands are the same on every platform. */
function helpText(how: string, offered: Offered, options: string): string {
  return (
    `${how}\n` +
    (offered.motions.length > 0
      ? `Motions: ${offered.motions.map((motion) => motions.names[motion]).join(', ')}; slow or fast.\n`
      : '') +
    `${options}\n` +
    `${(offered.model ?? []).map(modelLine).join('')}` +
    'The buttons under a video make variations of it. /queue tells how long it takes, /me your credits and jobs, /web opens the page with all your videos, /privacy tells what is stored.' +
    offered.attributions.map((line) => `\n${line}`).join('')
  );
}

const ofPages = (page: number, pages: number): string => (pages > 1 ? ` (page ${page} of ${pages})` : '');

const broken = 'Something went wrong in Kinora; its admins find more in the log. Try again later.';
const crashed = 'The engine stopped while it worked on this and was restarted. Try again.';

/**
 * What happened and what to do now, for people in a chat. The message is shown only where it speaks of what they sent:
 * others may name paths, hosts or settings of the machine.
 */
const failures: Readonly<Record<ErrorCode, (message: string, remedy: string) => string>> = {
  INTERNAL: () => broken,
  INVALID_OPTION: (message, remedy) => `${message} ${remedy}`,
  INVALID_PROMPT: (message) =>
    `${message} Send a shorter prompt in plain text, for example "camera slowly zooming in".`,
  INVALID_CONFIG: () => broken,
  VIDEO_NOT_FOUND: () =>
    'That video is no longer kept here. Animate the picture again; only recent videos can be varied or extended.',
  IMAGE_NOT_FOUND: () => 'The picture is no longer kept here. Send it again.',
  IMAGE_UNSUPPORTED: (message) => `${message} Save it as one of these, or take a screenshot, and send that.`,
  IMAGE_UNREADABLE: () => 'The picture seems damaged. Save it again as JPEG or PNG and send that.',
  IMAGE_TOO_LARGE: (message) => `${message} Scale the picture down and send it again.`,
  IMAGE_TOO_SMALL: (message) => `${message} Send a larger picture.`,
  PACK_NOT_FOUND: () => broken,
  PACK_INVALID: () => broken,
  DEVICE_UNAVAILABLE: () => broken,
  OUT_OF_MEMORY: () =>
    'There was not enough memory for this. Choose a smaller preset, a smaller size or fewer frames.',
  ENGINE_CRASHED: () => crashed,
  ENGINE_HUNG: () => `${crashed} Choose a smaller preset if it happens twice.`,
  BAD_NUMBERS: () => 'The model produced no usable picture. Try another seed or a lower guidance.',
  OUTPUT_UNWRITABLE: () => broken,
  DISK_FULL: () => 'There is no disk space left here. The admins have to free some; try again later.',
  STORAGE_FAILED: () =>
    'Pictures and videos cannot be stored or fetched right now. Try again in a few minutes.',
  FFMPEG_MISSING: () => broken,
  ENCODE_FAILED: () => 'The video could not be written. Try again, or tell the admins.',
  EXPIRED: () => 'This waited too long in the queue. Ask again when it is shorter.',
  CANCELLED: () => 'Cancelled.',
};

export const en = {
  duration,
  people,
  buttons,
  status,
  help,
  motions,

  result: {
    caption: (parts: { prompt: string; seed: number; preset: string; seconds: string; cost: number }) =>
      `${parts.prompt ? `"${parts.prompt}" · ` : ''}seed ${parts.seed} · ${parts.preset} · made in ${parts.seconds} · ${credits(parts.cost)}`,
    reused: (what: readonly string[], savedSeconds?: string) =>
      `Reused from before: ${what.join(', ')}${savedSeconds ? `; saved ${savedSeconds} s` : ''}.`,
    picture: 'what the model saw in the picture',
    video: 'the earlier video',
    compressed: 'Compressed to fit the size limit here.',
    reduced: (preset: string) =>
      `There was not enough memory for what you asked, so this is the ${preset} version.`,
    cancelled: 'Cancelled. Nothing was charged.',
    refunded: 'Nothing was charged.',
    smoothed: 'Smoothed: three times the frames.',
    looped: 'Plays forwards and back.',
    deleted: 'Deleted.',
    /** Where changing a message notifies nobody, after a long wait. */
    ready: 'Your video is ready.',
  },

  refusal: {
    banned: (until: string, reason: string) =>
      `You cannot use Kinora${until ? ` until ${until}` : ''}${reason ? `: ${reason}` : ''}.`,
    paused: 'Kinora is paused by its admins. Try again later.',
    draining: 'Kinora takes no new jobs because it will be restarted. Try again in a while.',
    queueFull: (limit: number) => `The queue is full (${jobs(limit)}). Try again in a few minutes.`,
    userFull: (limit: number) =>
      `You have ${jobs(limit)} waiting, which is the limit. Wait for one, or cancel one.`,
    communityFull: (limit: number) =>
      `There are ${jobs(limit)} waiting from here, which is the limit. Try again soon.`,
    cooldown: (ms: number) => `One moment: you can ask again in ${duration(ms)}.`,
    /** @param p.backInMs absent when nobody knows */
    quota: (p: {
      used: number;
      limit: number;
      granted: number;
      cost: number;
      backInMs?: number | undefined;
    }) =>
      `This costs ${credits(p.cost)}, but you have used ${p.used} of your ${p.limit} credits today${p.granted ? ` (and ${p.granted} extra are left)` : ''}. ${p.backInMs === undefined ? 'They come back every day' : `New ones come in ${duration(p.backInMs)}`}.`,
    diskFull: 'There is no disk space left here. The admins have to free some; try again later.',
    unavailable: 'The queue cannot be reached right now. Nothing was charged; try again in a minute.',
    duplicate: 'That one is already in the queue.',
    notYours: 'Only the person who asked for this can do that. Animate the picture yourself to play with it.',
    gone: 'That video is no longer kept here. Animate the picture again.',
    notAdmin: 'Only admins of this Kinora can do that.',
    finished: 'That one is finished already.',
    noPicture: 'This needs a still picture: send one together with the command, or reply to one.',
    tooLarge: (megabytes: number) => `The picture is too large; at most ${megabytes} MB.`,
    notDownloaded: 'The picture could not be fetched. Send it again.',
    noPrivateChat:
      'Kinora cannot answer you in private. Open your own chat with it, press Start, and ask here again under your own name.',
    noRights: 'Kinora may not send videos here. An admin of this chat has to allow it.',
  },

  /** Under a picture that came without words. */
  offer: {
    ask: 'What should move in it? Choose a motion, or write it in your next message.',
    motions: { zoom: 'Zoom in', pan: 'Pan', waves: 'Waves' },
    own: 'Write your own',
    write:
      'Write what should move and how, like "clouds drifting slowly". Options may be added, like motion=high.',
  },

  /** Where there are several: on buttons, and while one is typed. */
  models: {
    choice: (title: string, cost: number) => `${title} · ${credits(cost)}`,
    /** What it costs depends on the options of the earlier video, and is said with the answer. */
    again: (title: string) => `Make it with ${title}`,
    gone: 'No worker has that model any more. Choose another one.',
  },

  /** Where no form can be shown: the new prompt is sent as a reply. Followed by the old one. */
  remix: {
    ask: 'Reply to this message with the new prompt; everything else stays. Options may be added, like motion=high. The prompt so far:',
    noPrompt: '(none)',
  },

  /** In the menu of commands. */
  commands: {
    animate: 'As the caption of a picture, or as a reply to one: bring it to life',
    queue: 'How many are waiting, and where yours is',
    me: 'Your credits and your jobs',
    web: 'Open the page with all your videos',
    privacy: 'What is stored about you; delete it',
    help: 'What to send, and all options',
  },
  /** In the menu of a group's admins. */
  rulesCommand: 'What is allowed in this group: topics, presets, words, covered videos',

  /** A link to the studio page, for the person alone. */
  web: {
    link: (minutes: number) =>
      `This link opens your page: all your videos, and everything you can do here. It works once, within ${minutes} minutes, and whoever opens it is you, so keep it to yourself.`,
    sentPrivately: 'The link to your page is in your private chat with Kinora.',
    noAddress: 'The page cannot be reached from here yet. Ask the owner of this Kinora to set its address.',
    setAddress:
      'The page has no address yet: set KINORA_PUBLIC_URL to the one under which people reach it, such as https://kinora.example, and start Kinora again. docs/web.md tells how.',
    ownName: 'A page belongs to one person: write /web under your own name.',
  },

  settings: {
    title: 'Settings of this video',
    copy: 'To make it again:',
    yes: 'yes',
    labels,
  },

  me: {
    credits: (used: number, limit: number, granted: number) =>
      `Credits: ${used} of ${limit} used today${granted ? `, ${granted} extra` : ''}.`,
    none: 'You have no jobs in the queue.',
    /** For admins, who call people by their ids. */
    id: (userKey: string) => `Your id: ${userKey}`,
    jobs: 'Your jobs:',
    more: (count: number) => `… and ${count} more.`,
    job: (state: string, prompt: string) => `${state}: ${prompt || '(no prompt)'}`,
    states: {
      reserved: 'accepted',
      waiting: 'waiting',
      running: 'running',
      generated: 'finished',
      delivering: 'uploading',
      failed: 'failed',
      cancelled: 'cancelled',
    },
  },

  queue: {
    empty: 'The queue is empty.',
    summary: (waiting: number, running: number) =>
      waiting === 0
        ? `Nothing waits; ${jobs(running)} running.`
        : `${jobs(waiting)} waiting, ${running} running.`,
    paused: 'Kinora is paused.',
    draining: 'Kinora takes no new jobs at the moment.',
    stranded: 'Yours: waits until a worker comes that has its model, or you cancel it.',
    yours: (ahead: number, left: string) =>
      `Yours: ${ahead === 0 ? 'next in line' : `${jobs(ahead)} before it`}${left ? `, ready in about ${left}` : ''}.`,
  },

  privacy: {
    text: (days: number) =>
      `Kinora keeps your pictures, prompts and videos for ${days} days so that the buttons work, the name that the chat shows of you, your daily credits, and what was computed for your pictures. Nothing leaves this server. "Delete everything" removes all of it except bans and today's use of credits.`,
    deleteAll: 'Delete everything',
    deleted: (jobCount: number) => `Done: ${jobs(jobCount)} and all that belonged to them were removed.`,
    later: (jobCount: number) => `${jobs(jobCount)} could not be ended at once; the rest follows by itself.`,
  },

  helpText: {
    /** Where options are written into the caption. */
    captions: (offered: Offered) =>
      helpText(
        offered.prompt
          ? 'Send a picture with a few words about the motion, for example "camera slowly zooming in, waves rolling". In groups, begin with /animate, or reply /animate and your words to a picture.'
          : `Send a picture. ${status.looksOnly} In groups, begin with /animate, or reply /animate to a picture.`,
        offered,
        `Options, anywhere in the words: preset=fast|standard|high|creative, ${offered.model ? `model=${offered.model.map(({ id }) => id).join('|')}, ` : ''}motion=low|medium|high, seed=NUMBER, frames=NUMBER, fps=NUMBER, ${offered.guidance ? 'guidance=NUMBER, ' : ''}${offered.negative ? 'negative="…", ' : ''}loop, smooth, private (in a group: for you alone).`,
      ),
    /** Where the options of a command have fields of their own. */
    commands: (offered: Offered) =>
      helpText(
        offered.prompt
          ? 'Use /animate with a picture and a few words about the motion, for example "camera slowly zooming in, waves rolling"; or Apps > Animate on any message with a picture.'
          : `Use /animate with a picture, or Apps > Animate on any message with one. ${status.looksOnly}`,
        offered,
        `The options of /animate: preset (how much time goes into it), ${offered.model ? 'model, ' : ''}motion, ${offered.camera ? 'camera, ' : ''}seed (the same gives the same video), ${offered.negative ? 'negative (what should not appear), ' : ''}frames, fps (frames per second), ${offered.guidance ? 'guidance, ' : ''}loop, smooth, private (only you see it).`,
      ),
  },

  /** What only Discord needs: where an answer went when it could not stay in its place, and the labels of forms. */
  discord: {
    placeholder: 'One moment…',
    willBeDm:
      'This takes longer than Discord lets me answer here, so the video will come as a direct message.',
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
    },
    busy: 'One at a time: your other clip is still being made.',
    noPicture: 'There is no picture in that message.',
    expired: 'That form is too old. Use the command again.',
    sure: 'Really delete everything? This cannot be undone.',
    confirm: 'Yes, delete everything',
    keep: 'Keep it',
    kept: 'Nothing was deleted.',
    animate: 'Animate',
    prompt: 'What should move, and how?',
    promptExample: 'camera slowly zooming in, waves rolling',
    negative: 'What should not appear?',
  },

  /** Errors of the HTTP API. */
  api: {
    badRequest: 'The request is not in the form that /docs describes.',
    invalidKey: `This needs a key: "Authorization: Bearer kinora_…". The owner of this Kinora makes one with "${calledAs('keys', 'create NAME')}".`,
    wrongScope: 'This key may not do that; ask the owner of this Kinora for one with another scope.',
    signedOut:
      'You are not signed in any more. Write /web to Kinora in Discord or Telegram for a new link, or ask the owner of this Kinora for one.',
    linkUsed:
      'This link was used before, or its time is over. Write /web to Kinora in Discord or Telegram for a new one, or ask the owner of this Kinora.',
    nameNeeded: 'Choose a name of 1 to 64 characters.',
    sessionNeeded: 'Keys are made and revoked on the studio page, by those who are signed in there.',
    keyNotFound: 'You have no such key.',
    keyLimit: 'You have 20 keys, which is the limit. Revoke one first.',
    sessionNotFound: 'You are not signed in there; /v1/sessions lists where you are.',
    otherOrigin:
      'This call came from another site, or from no browser; send a key instead of a cookie. If a proxy stands before Kinora, set KINORA_PUBLIC_URL to its address.',
    unknownHost:
      'This Kinora is not known under that name. Open it by its address, or set KINORA_PUBLIC_URL to the name.',
    pageNotBuilt: 'The studio page has not been built yet: run "npm run build:page" and start Kinora again.',
    methodNotAllowed: 'This address takes other methods; the header Allow and /docs name them.',
    notFound: 'There is nothing here; /docs lists all addresses.',
    videoNotFound: 'There is no such video among yours.',
    notReady: 'The video is not made yet. Ask again after the seconds of Retry-After.',
    hasFailed: 'The video could not be made; its "error" says why.',
    finished: 'The video is finished already; delete it instead.',
    otherBody: 'This Idempotency-Key was sent with another request. Take a new one for each request.',
    idempotencyForm: 'An Idempotency-Key has 1 to 255 visible ASCII characters.',
    webhookUrl:
      'The url of a webhook is an http or https address without a password, and not of this machine or a private network.',
    webhookNotFound: 'There is no such webhook among yours.',
    webhookLimit: 'You have 10 webhooks, which is the limit. Delete one first.',
    noUploads:
      'Pictures cannot be put into the storage here. Send the picture with the request for the video.',
    uploadLimit:
      'You have 20 open uploads, which is the limit. Ask for videos of them first; unused ones go after an hour.',
    variantNotMade: 'This variant is not made yet. POST /smooth or /loop of the video makes it.',
    transforming: 'One at a time: your other clip is still being made. Try again in a moment.',
    expired: 'The video is no longer kept here. Animate the picture again.',
    noPicture:
      'Send a picture as input_reference: a file of a form, its http or https address, or a data URL such as "data:image/jpeg;base64,…".',
    pictureUrl: {
      malformed:
        'The address of a picture begins with https:// or http:// and has no user or password in it. Correct it, or send the picture itself.',
      notPublic:
        'The address of the picture leads to this machine or a private network, where nothing is fetched. Send the picture itself.',
      redirects: (most: number) =>
        `The address of the picture redirects more than ${most} times. Name the address where it ends.`,
      answered: (status: number) =>
        `The server of the picture answered with status ${status}. Check the address, or send the picture itself.`,
      silent: (seconds: number) =>
        `The picture could not be fetched from its address within ${seconds} seconds. Check the address, or send the picture itself.`,
    },
    unknownModel: (models: string) => `The model must be one of ${models}, or left out.`,
    tooManyUploads: (megabytes: number) =>
      `Requests of at most ${megabytes} MB in all are taken in at a time. Try again in a moment.`,
    tooManyStreams: (streams: number) => `At most ${streams} streams are open at a time. Try again later.`,
    bodyTooLarge: 'The request is too large. Scale the picture down and try again.',
    mediaType: 'Send the request as multipart/form-data or application/json.',
    range: 'The file does not reach that far; ask for a range within it.',
    unavailable: 'The queue cannot be reached right now. Nothing was charged; try again in a minute.',
    rateLimited: (calls: number, seconds: number) =>
      `At most ${calls} calls in ${seconds} seconds are answered. Wait, then go on more slowly.`,
  },

  failure: ({ code, message, detail }: SerializedError) =>
    failures[code](message, remedyOf({ code, message, detail })),

  /** What moderators decided about their server or group. */
  rules: {
    refused: {
      channel: 'The moderators allow Kinora only in certain channels here, and this is not one of them.',
      asChannel:
        'Kinora takes no requests in the name of a channel here. Write under your own name, or ask an admin of this group for /rules aschannel on.',
      role: 'The moderators allow Kinora only for certain roles here, and you have none of them.',
      age: 'The moderators allow Kinora only in age-restricted channels here.',
      preset: (allowed: string) => `The moderators allow only these presets here: ${allowed}.`,
      frames: (most: number) => `The moderators allow at most ${most} frames here.`,
      steps: (most: number) => `The moderators allow at most ${most} steps here.`,
      size: (most: number) => `The moderators allow at most the size ${most}x${most} here.`,
      word: (hint: string) =>
        `The moderators have blocked something in your prompt here${hint ? ` (it begins with "${hint}")` : ''}. Please put it in other words.`,
    },
    notHere: 'Rules belong to a server or group. Write this there.',
    notModerator: 'Only moderators of this community can do that.',
    noAge: 'There are no age-restricted channels on this platform.',
    noChannels: 'There are no channels or topics here.',
    noRoles: 'There are no roles on this platform.',
    usage:
      'rules show · rules channels|roles allow|clear [ID …] ("here" is this channel) · rules spoiler|age|aschannel on|off · rules words add|remove|list [WORD "TWO WORDS" /PATTERN/ …] · rules preset fast|standard|high|creative|any',
    labels: {
      channels: 'Channels',
      roles: 'Roles',
      spoiler: 'Videos as spoilers',
      age: 'Only in age-restricted channels',
      asChannel: 'Requests in the name of a channel',
      preset: 'Highest preset',
      words: 'Blocked words',
    },
    everywhere: 'all',
    everybody: 'all',
    any: 'any',
    on: 'on',
    off: 'off',
    noWords: 'No words are blocked.',
    words: (count: number, page: number, pages: number) => `Blocked words: ${count}${ofPages(page, pages)}`,
  },

  admin: {
    /** How each command is written: one line of text together, and each in Telegram's menu. */
    commands: {
      quota: 'quota show|set|grant|reset TARGET [NUMBER]',
      weight: 'weight list|show|set|reset TARGET [NUMBER]',
      ban: 'ban USER [HOURS] [REASON]',
      unban: 'unban USER',
      bans: 'bans [PAGE]',
      pause: 'pause',
      resume: 'resume',
      drain: 'drain',
      cancel: 'cancel JOB',
      stats: 'stats',
      audit: 'audit',
    } satisfies Record<AdminCommandName, string>,
    /** Below the help for everybody. */
    help: (usage: string) => `For admins: ${usage}`,
    done: 'Done.',
    unchanged: 'Nothing to change.',
    unknown: (text: string) => `"${text}" is not understood.`,
    missing: (what: string) => `Missing: ${what}.`,
    severalTargets: 'Name one target only: a user, a role or a community.',
    idOrHours: (hours: string, target: string) =>
      `That number may be a person or hours. Write "${target}" or "${hours}".`,
    idOrCredits: (credits: string, target: string) =>
      `That number may be a person or credits. Write "${target}" and a number, or "${credits}".`,
    quota: (
      target: string,
      p: { limit: number; source: string; used: number; granted: number; left: number },
    ) =>
      `${target}: ${p.used} of ${p.limit} credits used today (limit by ${p.source}), ${p.granted} extra, ${p.left} left.`,
    limit: (target: string, limit: number | undefined) =>
      limit === undefined ? `${target}: no limit of its own.` : `${target}: ${limit} credits a day.`,
    granted: (target: string, total: number) => `${target} now has ${total} extra credits.`,
    usersOnly: 'That works for users only.',
    banned: (target: string, until: string) =>
      `${target} is banned ${until ? `until ${until} UTC` : 'for good'}.`,
    unbanned: (target: string) => `${target} is not banned any more.`,
    noBans: 'Nobody is banned.',
    bans: (count: number, page: number, pages: number) => `Banned: ${count}${ofPages(page, pages)}`,
    /** @param until '' for good */
    banLasts: (until: string) => (until ? `until ${until} UTC` : 'for good'),
    weight: (target: string, weight: number | undefined) =>
      weight === undefined
        ? `${target}: no weight of its own.`
        : `${target}: weight ${weight}. While jobs wait, that is ${weight} times the share of a user with weight 1.`,
    noWeights: 'No weights are set; all users have weight 1.',
    weights: (count: number, page: number, pages: number) => `Weights: ${count}${ofPages(page, pages)}`,
    sources: { user: 'user', role: 'role', community: 'community', default: 'default' },
    modes: { running: 'running', paused: 'paused', draining: 'taking no new jobs' },
    stats: (p: {
      mode: string;
      waiting: number;
      running: number;
      answering: number;
      alive: number;
      unloaded: number;
      quiet: number;
      busy: number;
      creditsUsed: number;
    }) =>
      `Queue: ${p.mode}\nWaiting: ${p.waiting} · running: ${p.running} · answering: ${p.answering}\nWorkers: ${p.alive} (${p.busy} busy${p.unloaded > 0 ? `, ${p.unloaded} unloaded` : ''}${p.quiet > 0 ? `, ${p.quiet} in quiet hours` : ''})\nCredits used today: ${p.creditsUsed}`,
    stranded: (list: string) =>
      `No worker has the model of some waiting jobs: ${list}. Start a worker that has it, or cancel them.`,
    failures: (list: string) => `Failures so far: ${list}`,
    noAudit: 'Nothing has been done yet.',
  },
};
