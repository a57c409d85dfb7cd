/** Ids in Discord's form: milliseconds since its epoch in the upper bits, so that newer ids are greater. */
const discordEpochMs = 1_420_070_400_000n;
const counterBits = 22n;
const counterMask = (1n << counterBits) - 1n;
let counter = 0n;

export function snowflake(): string {
  counter += 1n;
  return String(((BigInt(Date.now()) - discordEpochMs) << counterBits) | (counter & counterMask));
}
