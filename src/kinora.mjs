#!/usr/bin/env node
// Starts the command line. JavaScript that every Node of the last years reads, because it says what is missing: a newer
// Node, or the packages. Then it registers tsx, which reads TypeScript, and loads main.ts.
import { fileURLToPath } from 'node:url';

const oldest = { major: 20, minor: 19 };

/** @param {string} sentence */
function refuse(sentence) {
  process.stderr.write(`${sentence}\n`);
  process.exitCode = 1;
}

function isNewEnough() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major > oldest.major || (major === oldest.major && minor >= oldest.minor);
}

async function start() {
  try {
    const { register } = await import('tsx/esm/api');
    // Kinora's own, and not one that happens to lie in the current folder.
    register({ tsconfig: fileURLToPath(new URL('../tsconfig.json', import.meta.url)) });
    await import('./main.ts');
  } catch (error) {
    // Also what an update has added and nobody has installed yet.
    if (!(error instanceof Error && /^Cannot find (package|module)/.test(error.message))) throw error;
    const folder = decodeURI(new URL('..', import.meta.url).pathname);
    refuse(`Kinora's packages are not installed, or not all of them: run "npm ci" in ${folder} first.`);
  }
}

if (isNewEnough()) start();
else {
  refuse(
    `Kinora needs Node ${oldest.major}.${oldest.minor} or newer, and this is ${process.versions.node}: install it from https://nodejs.org.`,
  );
}
