/** Refusals in Discord's form: status, JSON error code, message and, for a bad body, a tree of what is wrong where. */
import { RESTJSONErrorCodes as Code } from 'discord.js';
import type { z } from 'zod';

type Complaint = { readonly code: string; readonly message: string };
export interface ErrorTree {
  [key: string]: ErrorTree | Complaint[];
}

export class ApiError extends Error {
  readonly status: number;
  readonly code: number;
  readonly errors: ErrorTree | undefined;

  constructor(status: number, code: number, message: string, errors?: ErrorTree) {
    super(message);
    this.status = status;
    this.code = code;
    this.errors = errors;
  }

  toJSON(): object {
    return { message: this.message, code: this.code, ...(this.errors && { errors: this.errors }) };
  }
}

export const unauthorized = () => new ApiError(401, 0, '401: Unauthorized');
export const unknownChannel = () => new ApiError(404, Code.UnknownChannel, 'Unknown Channel');
export const unknownMessage = () => new ApiError(404, Code.UnknownMessage, 'Unknown Message');
export const unknownInteraction = () => new ApiError(404, Code.UnknownInteraction, 'Unknown interaction');
export const unknownWebhook = () => new ApiError(404, Code.UnknownWebhook, 'Unknown Webhook');
export const invalidWebhookToken = () => new ApiError(401, Code.InvalidWebhookToken, 'Invalid Webhook Token');
export const missingAccess = () => new ApiError(403, Code.MissingAccess, 'Missing Access');
export const missingPermissions = () => new ApiError(403, Code.MissingPermissions, 'Missing Permissions');
export const emptyMessage = () =>
  new ApiError(400, Code.CannotSendAnEmptyMessage, 'Cannot send an empty message');
export const tooLarge = () => new ApiError(413, Code.RequestEntityTooLarge, 'Request entity too large');
export const alreadyAcknowledged = () =>
  new ApiError(400, Code.InteractionHasAlreadyBeenAcknowledged, 'Interaction has already been acknowledged.');

/** One complaint about one place of the body. */
export function invalidForm(path: readonly PropertyKey[], message: string, code = 'INVALID'): ApiError {
  return formError([{ path, code, message }]);
}

/** @throws ApiError 50035 with every complaint, as Discord lists them */
export function parseForm<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw formError(parsed.error.issues.map(({ path, code, message }) => ({ path, code, message })));
}

function formError(complaints: readonly { path: readonly PropertyKey[]; code: string; message: string }[]) {
  const root: ErrorTree = {};
  for (const { path, code, message } of complaints) {
    let node = root;
    for (const key of path.map(String)) {
      const next = node[key];
      const branch: ErrorTree = next && !Array.isArray(next) ? next : {};
      node[key] = branch;
      node = branch;
    }
    const already = node['_errors'];
    const complaint = { code: code.toUpperCase(), message };
    node['_errors'] = Array.isArray(already) ? [...already, complaint] : [complaint];
  }
  return new ApiError(400, Code.InvalidFormBodyOrContentType, 'Invalid Form Body', root);
}
