/** A bot that leads, without a lease. */
import { type BotOptions, openBot, type RunningBot } from '../../src/bot/main.ts';

export async function startBot(options: BotOptions): Promise<RunningBot> {
  const bot = await openBot(options);
  await bot.lead();
  return bot;
}
