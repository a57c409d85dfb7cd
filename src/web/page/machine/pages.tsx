import { Button } from '../parts/button.tsx';
import { useSay } from '../sentences/say.ts';

interface PagesProps {
  readonly page: number;
  readonly pages: number;
  readonly onChange: (page: number) => void;
}

/** Steps through a list that comes a page at a time. Nothing where there is one page. */
export function Pages({ page, pages, onChange }: PagesProps) {
  const { machine } = useSay();
  if (pages <= 1) return null;
  return (
    <div class="pages">
      <Button isSmall isDisabled={page <= 1} onClick={() => onChange(page - 1)}>
        {machine.pages.previous}
      </Button>
      <span class="numbers">{machine.pages.of(page, pages)}</span>
      <Button isSmall isDisabled={page >= pages} onClick={() => onChange(page + 1)}>
        {machine.pages.next}
      </Button>
    </div>
  );
}
