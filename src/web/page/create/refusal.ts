/** What Kinora refused, by the parameter that it is about; "" where it is about none that is shown. */
export type Refusal = Readonly<Record<string, string>>;
