#!/usr/bin/env node
// Starts the command line. JavaScript, because Node 20 reads no TypeScript: registers tsx, which does, and loads main.ts.
import { register } from 'tsx/esm/api';

register();
await import('./main.ts');
