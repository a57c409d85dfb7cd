/** The command line: reads arguments, calls the commands, and turns every failure into a sentence and an exit code. */

import { readFileSync } from 'node:fs';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { calledAs } from './called-as.ts';
import type { AnimateOptions } from './commands/animate.ts';
import { CommandError } from './commands/command-error.ts';
import { describeExitCodes } from './commands/exit-codes.ts';
import type { CreateKeyOptions, InviteOptions } from './commands/keys.ts';
import { enterCallersFolder, refuseSwallowedOptions } from './commands/npm-run.ts';
import { inspectConfig, loadConfig } from './config.ts';
import { describeError, type ErrorCode, errorCatalogue, remedyOf, serializeError } from './errors.ts';
import { createLogger } from './log.ts';
import { requestFlags } from './request/options-text.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

function toNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || Number.isNaN(value)) throw new InvalidArgumentError('Expected a number.');
  return value;
}

/** The first Ctrl-C aborts the signal, so that the command cleans up; the second ends the process at once. */
function interruptible(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(errorCatalogue.CANCELLED.exitCode);
      controller.abort();
    });
  }
  return controller.signal;
}

// Every command loads only its own modules: the chat libraries would delay `animate`.
const animating = () => import('./commands/animate.ts');
const packs = () => import('./commands/models.ts');

const program = new Command('kinora')
  .description('Brings pictures to life: a photo and a prompt become an MP4, on your own machine.')
  .version(version)
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, '')) })
  .addHelpText('after', `\nExit codes:\n${describeExitCodes()}`);

const animateCommand = program
  .command('animate')
  .description('animate one or more pictures')
  .argument('[image...]', 'JPEG, PNG, WebP, GIF or TIFF files, then what should move, in quotes')
  .usage('[options] IMAGE... [PROMPT]')
  .option('-o, --out <path>', 'file, or folder with a "/" behind it (default: IMAGE-SEED.mp4 here)')
  .option('-m, --model <name>', 'model pack, by name or path (default: KINORA_MODEL)')
  .option(
    '-d, --device <name>',
    'auto, cpu, cuda[:N], webgpu, tensorrt[:N] (experimental; default: KINORA_DEVICE)',
  );
for (const { flags, help, isNumber } of requestFlags) {
  if (isNumber) animateCommand.option(flags, help, toNumber);
  else animateCommand.option(flags, help);
}
animateCommand
  .option('-f, --force', 'overwrite what --out names')
  .option(
    '--from <video-id>',
    'vary an earlier video, also one of a chat: its picture and options, unless others are given',
  )
  .option(
    '--extend <video-id>',
    'go on from the end of an earlier video, also one of a chat, for about as many frames again',
  )
  .option('--strength <amount>', 'subtle, strong, or 0.01 to 1; with --from (default: subtle)')
  .option('--mask <file>', 'a picture of the same shape, white where yours may move; the rest stays still')
  .option('--thumbnail', 'write a JPEG beside the video')
  .option('--no-metadata', 'keep prompt and seed out of the file')
  .option('--json', 'print one JSON object about the result')
  .option('-q, --quiet', 'print nothing but errors')
  .action(async (args: string[], options: AnimateOptions) => {
    const signal = interruptible();
    const { animate } = await animating();
    await animate(args, options, loadConfig(), signal);
  });

program
  .command('start')
  .description('run everything on this machine: bot, worker, and a Redis of its own when REDIS_URL is unset')
  .action(async () => (await import('./commands/start.ts')).runAll(loadConfig()));
program
  .command('bot')
  .description('run the bot alone, over the Redis of REDIS_URL')
  .action(async () => (await import('./commands/bot.ts')).runBot(loadConfig()));
program
  .command('worker')
  .description('run one worker alone, over the Redis of REDIS_URL: one per GPU')
  .action(async () => (await import('./commands/worker.ts')).runWorker(loadConfig()));

const models = program.command('models').description('look after model packs');
models
  .command('list')
  .description('what is installed')
  .action(async () => (await packs()).listModels(loadConfig()));
models
  .command('verify')
  .description('compare every file with the manifest')
  .argument('[name]')
  .action(async (name?: string) => {
    const config = loadConfig();
    return (await packs()).verifyModel(config, name ?? config.model);
  });
models
  .command('path')
  .description('where a pack lies')
  .argument('[name]')
  .action(async (name?: string) => {
    const config = loadConfig();
    return (await packs()).printModelPath(config, name ?? config.model);
  });

program
  .command('doctor')
  .description('check this machine, with a remedy for whatever is missing')
  .option('--json', 'print the checks as JSON')
  .action(async (options: { json?: boolean }) => {
    const { doctor } = await import('./commands/doctor/doctor.ts');
    await doctor(inspectConfig(), options.json ?? false);
  });

program
  .command('setup-cuda')
  .description('install what a CUDA GPU needs besides its driver (Linux x64; about 3 GB on disk)')
  .option('--providers-only', 'CUDA 13 (or 12) and cuDNN 9 are installed already')
  .option('--cuda <version>', '12 or 13 (default: 13, or 12 for an older driver)', toNumber)
  .action(async (options: { providersOnly?: boolean; cuda?: number }) => {
    const { setupCuda } = await import('./commands/setup-cuda/setup-cuda.ts');
    await setupCuda({ providersOnly: options.providersOnly ?? false, cuda: options.cuda });
  });

program
  .command('backup')
  .description('write all that is kept into one file, also while Kinora runs; docs/operations.md')
  .argument('<file>', 'a new .tar file')
  .option('-f, --force', 'overwrite it')
  .action(async (file: string, { force = false }: { force?: boolean }) =>
    (await import('./commands/backup.ts')).backUp(loadConfig(), version, file, force),
  );
program
  .command('restore')
  .description('put back what "backup" wrote, while Kinora does not run')
  .argument('<file>', 'what "backup" wrote')
  .option('--replace', 'remove what is here')
  .action(async (file: string, { replace = false }: { replace?: boolean }) =>
    (await import('./commands/backup.ts')).restore(loadConfig(), file, replace),
  );

program
  .command('job')
  .description('print everything that is known of a job')
  .argument('<id>', 'as in /stats, in the log, or the name of its folder in data/jobs')
  .option('--json', 'print it as one JSON object')
  .action(async (id: string, options: { json?: boolean }) => {
    const { showJob } = await import('./commands/job.ts');
    await showJob(loadConfig(), id, options.json ?? false);
  });

program
  .command('sign-in')
  .description('print a link that signs you in on the studio page, as the owner of this machine')
  .action(async () => (await import('./commands/sign-in.ts')).printOwnersLink(loadConfig()));

const keys = program
  .command('keys')
  .description('look after the keys of the HTTP API and the invitations to the studio page');
keys
  .command('create')
  .description('make a key and print it, once')
  .argument('<name>', 'what it is for')
  .option('--user <key>', 'whose credits and videos it uses, such as discord:123 (default: somebody new)')
  .option('--scope <names>', 'use, admin, or both with a comma between', 'use')
  .action(async (name: string, options: CreateKeyOptions) =>
    (await import('./commands/keys.ts')).createKey(loadConfig(), name, options),
  );
keys
  .command('invite')
  .description('print a link with which somebody who is in no chat signs in on the studio page, once')
  .argument('[name]', 'what they are called; without it they choose')
  .option('--user <key>', 'somebody who has come before and needs a new link (default: somebody new)')
  .option('--scope <names>', 'use, admin, or both with a comma between', 'use')
  .option('--days <number>', 'how long it can be used: 1 to 30 days (default: 7)', toNumber)
  .action(async (name: string | undefined, options: InviteOptions) =>
    (await import('./commands/keys.ts')).invite(loadConfig(), name, options),
  );
keys
  .command('list')
  .description('all keys and invitations, without what is secret about them, and who came by one')
  .option('--json', 'print them as JSON')
  .action(async (options: { json?: boolean }) =>
    (await import('./commands/keys.ts')).listKeys(loadConfig(), options.json ?? false),
  );
keys
  .command('revoke')
  .description('end a key or an invitation at once, or all keys and sessions of a user')
  .argument('<id>', `as "${calledAs('keys', 'list')}" prints it, or a user such as web:4f0c2ab81e77`)
  .action(async (id: string) => (await import('./commands/keys.ts')).revokeKey(loadConfig(), id));

/** Resolves when the text was written, or cannot be. */
const say = (stream: NodeJS.WriteStream, text: string): Promise<void> =>
  new Promise((resolve) => stream.write(text, () => resolve()));

// Node would print such an error as it is, with whatever secret its text holds.
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) => {
    createLogger('kinora', 'fatal').fatal({ err: error }, 'a fault in Kinora ends this process');
    process.exit(errorCatalogue.INTERNAL.exitCode);
  });
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader may end early: "kinora models list | head -1".
  if (error.code !== 'EPIPE') process.exitCode = errorCatalogue.OUTPUT_UNWRITABLE.exitCode;
});

try {
  enterCallersFolder();
  refuseSwallowedOptions(program, process.argv.slice(2));
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Help and version are no errors; everything else was printed by commander.
    process.exitCode = error.exitCode === 0 ? 0 : errorCatalogue.INVALID_OPTION.exitCode;
  } else {
    const { text, exitCode, ...json } = describeFailure(await explained(error));
    if (process.argv.includes('--json')) {
      await say(process.stdout, `${JSON.stringify({ error: json }, null, 2)}\n`);
    }
    await say(process.stderr, `${text}\n`);
    if (process.env['KINORA_LOG_LEVEL'] === 'debug' && error instanceof Error) {
      await say(process.stderr, `${error.stack}\n`);
    }
    // Open handles of the command, such as a connection to a refused Redis, must not keep the process alive.
    process.exit(exitCode);
  }
}

/** What Redis answers may be a matter of the settings. */
async function explained(error: unknown): Promise<unknown> {
  if (!(error instanceof Error && error.name === 'ReplyError')) return error;
  const { asRefusal } = await import('./queue/redis.ts');
  return asRefusal(error);
}

/** What --json prints, with the sentence for people and the exit code. */
function describeFailure(error: unknown): {
  text: string;
  exitCode: number;
  message: string;
  code?: ErrorCode;
  remedy?: string;
} {
  if (error instanceof CommandError) {
    return { text: error.message, exitCode: error.exitCode, message: error.message };
  }
  const failure = serializeError(error);
  const { code, message } = failure;
  const { exitCode } = errorCatalogue[code];
  return { text: describeError(failure), exitCode, code, message, remedy: remedyOf(failure) };
}
