/**
 * A parent for the fault tests: starts an engine, runs the job that it is given (or none) and prints what happens, one
 * JSON object a line. It handles no signal and never calls stop().
 */
import { Engine } from '../../src/engine/supervisor.ts';

const { options, job } = JSON.parse(process.argv[2] ?? '{}');
const say = (what: unknown): void => void process.stdout.write(`${JSON.stringify(what)}\n`);

const engine = Engine.start(options);
await engine.ready();
say({ enginePid: engine.status().pid });
if (job === null) process.exit(0);
await engine.run(job, { onProgress: say });
say({ phase: 'result' });
