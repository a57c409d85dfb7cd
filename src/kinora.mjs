#!/usr/bin/env node
// Starts the command line. Plain JavaScript so that every supported Node can read it; it only teaches Node
// to load TypeScript (tsx) and hands over to cli.ts.
import { register } from 'tsx/esm/api';

register();
await import('./main.ts');
