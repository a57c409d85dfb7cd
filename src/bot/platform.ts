/**
 * What a chat platform gives to Kinora and gets from it. Each adapter translates in and out and nothing else: limits,
 * quotas, fairness and retries are the queue's.
 */
import type { Artifacts } from '../queue/artifacts.ts';
import type { JobClient } from '../queue/client.ts';
import type { Conversation } from './conversation.ts';
import type { Deliver } from './upkeep/delivery.ts';

export interface Kinora {
  readonly client: JobClient;
  readonly artifacts: Artifacts;
  /** What is said and done, the same on every platform. */
  readonly conversation: Conversation;
}

export interface ChatPlatform {
  /** First part of its user keys: "discord" in "discord:8035". */
  readonly name: string;
  /** Begins to take requests. Resolves when people can ask. */
  start(kinora: Kinora): Promise<void>;
  /** Posts the final answer of one of its jobs, by the platform's most repeatable call. */
  readonly deliver: Deliver;
  /** Takes no more requests. */
  stop(): Promise<void>;
}
