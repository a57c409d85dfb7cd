/**
 * Bodies of requests for a video: a form with the picture as a file, or JSON with its URL. A form's texts become the
 * numbers and booleans that JSON has, so one schema checks both.
 */
import type { FastifyRequest } from 'fastify';
import { defaultImageLimits } from '../../inference/pictures/header.ts';
import { isUpload } from '../../queue/uploads.ts';
import { invalidParameter, ProblemError } from '../problem.ts';
import { booleanParameters, type CreateBody, createSchema, numberParameters } from './schemas.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The files of a form. */
    picture: Uint8Array | undefined;
    mask: Uint8Array | undefined;
  }
}

const pictureName = 'input_reference';
const maskName = 'motion_mask';
const extendedName = 'video';
/** How clients name the `id` of that object in a form, where they do not write it as JSON. */
const extendedIdName = 'video[id]';
const largestPicture = defaultImageLimits.maxBytes;
const textBytes = 256 * 1024;
/** A picture in base64, and the texts beside it. */
export const largestBody = Math.ceil((largestPicture * 4) / 3) + textBytes;

const formLimits = { fileSize: largestPicture, files: 2, fields: 32, fieldSize: textBytes, parts: 34 };

/** Turns a form into the object that JSON would have been; leaves JSON alone. */
export async function readForm(request: FastifyRequest): Promise<void> {
  if (!request.isMultipart()) return;
  const body = new Map<string, unknown>();
  try {
    for await (const part of request.parts({ limits: formLimits })) {
      const name = part.fieldname;
      const isThere = name === pictureName ? request.picture : name === maskName ? request.mask : undefined;
      if (body.has(name) || isThere) {
        throw invalidParameter(name, { kind: 'givenTwice', what: name });
      }
      if (name === extendedIdName && part.type === 'field')
        body.set(extendedName, { id: String(part.value) });
      else if (part.type === 'field') body.set(name, fieldValue(name, String(part.value)));
      else if (name === pictureName) request.picture = await part.toBuffer();
      else if (name === maskName) request.mask = await part.toBuffer();
      else {
        part.file.resume();
        throw unknownParameter(name);
      }
    }
  } catch (error) {
    // Of a form that is cut short or has no boundary; those of limits have a status.
    if (error instanceof ProblemError || (error instanceof Error && 'statusCode' in error)) throw error;
    throw new ProblemError({ kind: 'badRequest' });
  }
  request.body = Object.fromEntries(body);
}

export function unknownParameter(name: string): ProblemError {
  const known = Object.keys(createSchema.shape);
  return invalidParameter(name, { kind: 'unknownOption', got: name.slice(0, 40), known });
}

function fieldValue(name: string, text: string): unknown {
  if (name === extendedName) return jsonOr(text);
  if (numberParameters.has(name)) return /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text) ? Number(text) : text;
  if (booleanParameters.has(name)) return text === 'true' ? true : text === 'false' ? false : text;
  return text;
}

/** What the schema refuses stays a text. */
function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * The picture of a request, from a form's file or from a data URL, or the address or upload where it is.
 * @throws ProblemError when there is neither
 */
export function pictureOf(
  picture: Uint8Array | undefined,
  given: CreateBody['input_reference'],
): Uint8Array | { readonly url: string } | { readonly upload: string } {
  if (picture) return picture;
  const url = typeof given === 'object' ? given.image_url : given;
  if (url === undefined) throw new ProblemError({ kind: 'noPicture', param: pictureName });
  if (isUpload(url)) return { upload: url };
  if (!/^data:/i.test(url)) return { url };
  const bytes = bytesOf(url);
  if (!bytes) throw new ProblemError({ kind: 'noPicture', param: pictureName });
  return bytes;
}

/**
 * The mask of a request, from a form's file or from a data URL.
 * @throws ProblemError for a text that is no data URL
 */
export function maskOf(mask: Uint8Array | undefined, given: string | undefined): Uint8Array | undefined {
  if (mask || given === undefined) return mask;
  const bytes = bytesOf(given);
  if (!bytes) throw invalidParameter(maskName, { kind: 'maskUnreadable' });
  return bytes;
}

/** What a data URL holds; undefined where it holds nothing. */
function bytesOf(url: string): Uint8Array | undefined {
  const [head] = /^data:[\w.+-]+\/[\w.+-]+(?:;[\w.+-]+=[\w.+-]+)*;base64,/i.exec(url) ?? [];
  const bytes = head === undefined ? undefined : Buffer.from(url.slice(head.length), 'base64');
  return bytes && bytes.length > 0 ? bytes : undefined;
}
