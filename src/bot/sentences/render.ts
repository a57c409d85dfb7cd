/**
 * Makes the sentences and buttons that people see of the values that the bot decides with, in the language of a
 * catalogue. Plain text without any markup; adapters escape it for their platform.
 */

import type { QueueEvent } from '../../queue/events.ts';
import type { Artifact } from '../../queue/jobs.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import type { QueuePosition } from '../../queue/time-left.ts';
import { type IgnorableOption, readsNoText, withoutTexts } from '../../request/ignorable-options.ts';
import { typedValues } from '../../request/options-text.ts';
import type { PromptTip } from '../../request/prompt-tip.ts';
import { type Generation, optionTable, wordOf } from '../../request/request.ts';
import type { AccountView, Deleted, QueueView } from '../account.ts';
import type { BrokenRule } from '../admin/rules.ts';
import type { FinalAnswer, Reused, VideoAnswer, Waiting } from '../answers.ts';
import { type Action, actions, type JobButton, type TransformedClip } from '../buttons.ts';
import type { QueueRefusal, Refusal, Refused } from '../refusals.ts';
import type { Accepted, RequestOutcome, TrackedJob } from '../requests.ts';
import type { StudioLink } from '../studio-links.ts';
import { type Messages, messagesFor } from './catalogue.ts';
import { shorten } from './shorten.ts';
import { understoodLine } from './understood.ts';

export interface Button extends JobButton {
  readonly label: string;
}

export interface ChatMessage {
  readonly text: string;
  readonly buttons: readonly Button[];
}

const barWidth = 12;
/** In UTF-16 units. Captions have a limit; "Settings" shows all of the prompt. */
const shownPrompt = 300;
const listedPrompt = 60;
const labelPrompt = 20;
const listedJobs = 10;
const cancelButtons = 5;
/** Less is not worth a word. */
const leastSavedMs = 50;

/** The language of the person who asked for a job. */
export function messagesOf({ request }: Pick<TrackedJob, 'request'>): Messages {
  return messagesFor(request.locale);
}

export function renderRequest(outcome: RequestOutcome, say: Messages): ChatMessage {
  if (outcome.kind === 'duplicate') return { text: say.refusal.duplicate, buttons: [] };
  if (outcome.kind === 'refused') return { text: renderRefusal(outcome.reason, say), buttons: [] };
  return renderAccepted(outcome, say);
}

function renderAccepted(
  { job, position, cost, left, isAnimated, cut, tip, ignored }: Accepted,
  say: Messages,
): ChatMessage {
  const lines = [renderPosition(position, say), say.status.cost(cost, left)];
  if (isAnimated) lines.push(say.status.firstFrame);
  if (cut) lines.push(say.status.cut(cut));
  if (readsNoText(ignored)) lines.push(say.status.looksOnly);
  const others = readsNoText(ignored) ? withoutTexts(ignored) : ignored;
  lines.push(...others.flatMap((name) => optionLabel(name, say)).map(say.status.ignored));
  if (tip) lines.push(renderTip(tip, say));
  return { text: lines.join('\n'), buttons: [button('cancel', job.id, say)] };
}

/** The name of an option that can be chosen in a chat. */
function optionLabel(name: IgnorableOption, { settings: { labels } }: Messages): string[] {
  const word = wordOf(optionTable[name]);
  return Object.entries(labels).flatMap(([key, label]) => (key === word ? [label] : []));
}

export function renderWaiting({ jobId, position, tip }: Waiting, say: Messages): ChatMessage {
  const text = [renderPosition(position, say), ...(tip ? [renderTip(tip, say)] : [])].join('\n');
  return { text, buttons: [button('cancel', jobId, say)] };
}

export function renderTip(tip: PromptTip, { help }: Messages): string {
  return tip.kind === 'vague' ? help.vague(tip.word) : help[tip.kind];
}

function renderPosition({ ahead, leftMs, isStranded, quietMs }: QueuePosition, { status }: Messages): string {
  if (isStranded) return status.stranded;
  const text = ahead === 0 ? status.next : status.waiting(ahead);
  const quiet = quietMs === undefined ? '' : status.quiet(quietMs);
  return `${text}${quiet}${leftMs === undefined ? '' : status.readyIn(leftMs)}`;
}

/** The status message of a running job. */
export function renderProgress(
  { jobId, phase, done, total, leftMs }: Extract<QueueEvent, { type: 'progress' }>,
  say: Messages,
): ChatMessage {
  const text = {
    loading: () => say.status.loading,
    encoding: () => say.status.encoding,
    denoising: () => say.status.denoising(bar(done, total), done, total),
    decoding: () => say.status.decoding(done, total),
    finishing: () => say.status.finishing,
  }[phase]();
  const left = leftMs === undefined || done >= total ? '' : ` · ${say.status.left(leftMs)}`;
  return { text: `${text}${left}`, buttons: [button('cancel', jobId, say)] };
}

function bar(done: number, total: number): string {
  const part = total > 0 ? Math.min(1, Math.max(0, done / total)) : 0;
  const filled = Math.round(barWidth * part);
  return '▰'.repeat(filled) + '▱'.repeat(barWidth - filled);
}

export function renderFinal(answer: FinalAnswer, say: Messages): ChatMessage {
  switch (answer.kind) {
    case 'cancelled':
      return { text: say.result.cancelled, buttons: [] };
    case 'failure':
      return { text: `${say.failure(answer.failure)} ${say.result.refunded}`, buttons: [] };
    case 'video': {
      const buttons = actions
        .filter((action) => action !== 'cancel')
        .map((action) => button(action, answer.jobId, say));
      return { text: renderVideo(answer, say), buttons };
    }
  }
}

/** The words under a video. */
export function renderVideo(video: VideoAnswer, say: Messages): string {
  const { seed, preset, cost } = video;
  const prompt = shorten(video.prompt, shownPrompt);
  const lines = [say.result.caption({ prompt, seed, preset, seconds: say.duration(video.totalMs), cost })];
  if (video.understood) lines.push(understoodLine(video.understood, say.motions));
  if (video.reused) lines.push(renderReused(video.reused, say));
  if (video.reducedTo !== undefined) lines.push(say.result.reduced(video.reducedTo));
  if (video.isCompressed) lines.push(say.result.compressed);
  return lines.join('\n');
}

function renderReused({ picture, video, savedMs }: Reused, { result }: Messages): string {
  const what = [...(picture ? [result.picture] : []), ...(video ? [result.video] : [])];
  return result.reused(what, savedMs >= leastSavedMs ? (savedMs / 1000).toFixed(1) : undefined);
}

export function renderTransformed({ action, isCompressed }: TransformedClip, { result }: Messages): string {
  const text = action === 'smooth' ? result.smoothed : result.looped;
  return isCompressed ? `${text} ${result.compressed}` : text;
}

/** All parameters of a job, a line each, above the command that makes the same video again. */
export function renderSettings({ request, artifact }: LedgerEntry, say: Messages): string {
  const rows = describeOptions(request.generation, artifact, say);
  return [say.settings.title, ...rows, say.settings.copy].join('\n');
}

/** All parameters, a line each. What the preset decided is known only by the video that was made. */
export function describeOptions(
  generation: Generation,
  artifact: Artifact | undefined,
  { settings }: Messages,
): string[] {
  const { loop, smooth = 1, variation } = generation;
  const made = artifact && {
    seed: artifact.seed,
    frames: artifact.numFrames,
    fps: artifact.fps,
    size: `${artifact.width}×${artifact.height}`,
    model: artifact.model,
  };
  const values: Readonly<Record<string, string | number | boolean | undefined>> = {
    ...Object.fromEntries(typedValues(generation)),
    ...made,
    loop: loop ? settings.yes : undefined,
    smooth: smooth > 1 ? `×${smooth}` : undefined,
    variation: variation?.strength,
  };
  return Object.entries(settings.labels).flatMap(([word, label]) =>
    values[word] === undefined || values[word] === '' ? [] : [`${label}: ${values[word]}`],
  );
}

export function renderCancelled(outcome: { readonly kind: 'cancelling' } | Refused, say: Messages): string {
  return outcome.kind === 'refused' ? renderRefusal(outcome.reason, say) : say.status.cancelling;
}

export function renderAccount(view: AccountView | Refused, say: Messages): ChatMessage {
  if (view.kind === 'refused') return { text: renderRefusal(view.reason, say), buttons: [] };
  const { quota, jobs, userKey } = view;
  const lines = [say.me.credits(quota.used, quota.limit, quota.granted)];
  lines.push(jobs.length === 0 ? say.me.none : say.me.jobs);
  for (const { state, prompt } of jobs.slice(0, listedJobs)) {
    lines.push(`• ${say.me.job(say.me.states[state], shorten(prompt, listedPrompt))}`);
  }
  if (jobs.length > listedJobs) lines.push(say.me.more(jobs.length - listedJobs));
  lines.push(say.me.id(userKey));
  const buttons = jobs.slice(0, cancelButtons).map(({ id, prompt }) => ({
    ...button('cancel', id, say),
    label: `${say.buttons.cancel}: ${shorten(prompt, labelPrompt) || id.slice(-6)}`,
  }));
  return { text: lines.join('\n'), buttons };
}

export function renderQueue(view: QueueView | Refused, say: Messages): string {
  if (view.kind === 'refused') return renderRefusal(view.reason, say);
  const { mode, waiting, running, own } = view;
  const lines = mode === 'running' ? [] : [say.queue[mode]];
  lines.push(waiting + running === 0 ? say.queue.empty : say.queue.summary(waiting, running));
  for (const { ahead, leftMs, isStranded } of own) {
    const left = leftMs === undefined ? '' : say.duration(leftMs);
    lines.push(isStranded ? say.queue.stranded : say.queue.yours(ahead, left));
  }
  return lines.join('\n');
}

/** The link itself comes behind the words, as it is. */
export function renderStudioLink(outcome: StudioLink | Refused, say: Messages): string {
  switch (outcome.kind) {
    case 'link':
      return say.web.link(outcome.minutes);
    case 'noAddress':
      return outcome.isAdmin ? say.web.setAddress : say.web.noAddress;
    case 'refused':
      return renderRefusal(outcome.reason, say);
  }
}

export function renderDeleted(outcome: Deleted | Refused, say: Messages): string {
  if (outcome.kind === 'refused') return renderRefusal(outcome.reason, say);
  const { deleted, later } = say.privacy;
  const { jobs, unfinished } = outcome;
  return unfinished === 0 ? deleted(jobs) : `${deleted(jobs)} ${later(unfinished)}`;
}

export function renderRefusal(reason: Refusal, say: Messages): string {
  switch (reason.kind) {
    case 'tooLarge':
      return say.refusal.tooLarge(reason.megabytes);
    case 'queue':
      return renderQueueRefusal(reason.submission, reason.backInMs, say);
    case 'rule':
      return renderBrokenRule(reason.rule, say);
    case 'failure':
      return say.failure(reason.failure);
    default:
      return say.refusal[reason.kind];
  }
}

function renderQueueRefusal(
  submission: QueueRefusal,
  backInMs: number | undefined,
  { refusal }: Messages,
): string {
  switch (submission.decision) {
    case 'banned': {
      const until = submission.untilMs > 0 ? new Date(submission.untilMs).toISOString().slice(0, 16) : '';
      return refusal.banned(until && `${until.replace('T', ' ')} UTC`, submission.reason);
    }
    case 'queue-full':
      return refusal.queueFull(submission.limit);
    case 'user-full':
      return refusal.userFull(submission.limit);
    case 'community-full':
      return refusal.communityFull(submission.limit);
    case 'cooldown':
      return refusal.cooldown(submission.waitMs);
    case 'quota':
      return refusal.quota({ ...submission, backInMs });
    case 'disk-full':
      return refusal.diskFull;
    default:
      return refusal[submission.decision];
  }
}

function renderBrokenRule(rule: BrokenRule, { rules: { refused } }: Messages): string {
  switch (rule.kind) {
    case 'preset':
      return refused.preset(rule.allowed.join(', '));
    case 'frames':
    case 'steps':
    case 'size':
      return refused[rule.kind](rule.most);
    case 'word':
      return refused.word(rule.hint);
    default:
      return refused[rule.kind];
  }
}

function button(action: Action, jobId: string, say: Messages): Button {
  return { action, jobId, label: say.buttons[action] };
}
