interface ProgressProps {
  /** Read aloud. */
  readonly label: string;
  /** 0 to 100; undefined while nobody knows. */
  readonly percent: number | undefined;
}

export function Progress({ label, percent }: ProgressProps) {
  return (
    <progress
      class="progress"
      aria-label={label}
      max={100}
      {...(percent === undefined ? {} : { value: percent })}
    />
  );
}
