/** Modals and choices of autocompletion as Discord accepts them. Source: Discord's reference of interactions. */
import { ComponentType as Type } from 'discord.js';
import { z } from 'zod';
import { componentId, customId, filled, stringSelect, text, textDisplay } from './components.ts';

const textInput = z.object({
  type: z.literal(Type.TextInput),
  id: componentId,
  custom_id: customId,
  style: z.literal([1, 2]),
  label: filled(45).optional(),
  min_length: z.number().int().min(0).max(4000).optional(),
  max_length: z.number().int().min(1).max(4000).optional(),
  required: z.boolean().optional(),
  value: text(4000).optional(),
  placeholder: text(100).optional(),
});
const fileUpload = z.object({
  type: z.literal(Type.FileUpload),
  id: componentId,
  custom_id: customId,
  min_values: z.number().int().min(0).max(10).optional(),
  max_values: z.number().int().min(1).max(10).optional(),
  required: z.boolean().optional(),
});
const label = z.object({
  type: z.literal(Type.Label),
  id: componentId,
  label: filled(45),
  description: text(100).optional(),
  component: z.discriminatedUnion('type', [
    textInput.refine(
      ({ label }) => label === undefined,
      'In a Label, the text input has no label of its own.',
    ),
    stringSelect,
    fileUpload,
  ]),
});
const modalRow = z.object({
  type: z.literal(Type.ActionRow),
  id: componentId,
  components: z.array(textInput.refine(({ label }) => label, 'This field is required')).length(1),
});

/** Of the inputs of a modal, the fake knows text inputs, string selects and file uploads. */
export const modalBody = z
  .object({
    custom_id: customId,
    title: filled(45),
    components: z
      .array(z.discriminatedUnion('type', [modalRow, label, textDisplay]))
      .min(1, 'Must be between 1 and 5 in length.')
      .max(5, 'Must be between 1 and 5 in length.'),
  })
  .superRefine(({ components }, context) => {
    const ids = components.flatMap(modalInputs).map(({ input }) => input.custom_id);
    if (new Set(ids).size < ids.length)
      context.addIssue({
        code: 'custom',
        path: ['components'],
        message: 'Component custom id cannot be duplicated',
      });
  });
export type ModalBody = z.output<typeof modalBody>;
export type ModalInput = z.output<typeof textInput | typeof stringSelect | typeof fileUpload>;

/** The inputs of one part of a modal, with the words beside them. */
export function modalInputs(part: ModalBody['components'][number]): { label: string; input: ModalInput }[] {
  if ('component' in part) return [{ label: part.label, input: part.component }];
  if ('components' in part) return part.components.map((input) => ({ label: input.label ?? '', input }));
  return [];
}

export const autocompleteBody = z.object({
  choices: z
    .array(z.object({ name: filled(100), value: z.union([text(100), z.number()]) }))
    .max(25, 'Must be 25 or fewer in length.'),
});
export type Choice = z.output<typeof autocompleteBody>['choices'][number];
