/** A Prometheus registry that makes its own instruments, one line each. Knows no metric by name. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export class Instruments extends Registry {
  gauge<L extends string = never>(name: string, help: string, ...labelNames: L[]): Gauge<L> {
    return new Gauge({ name, help, labelNames, registers: [this] });
  }

  counter<L extends string = never>(name: string, help: string, ...labelNames: L[]): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this] });
  }

  /** @param buckets upper bounds */
  histogram<L extends string = never>(
    name: string,
    help: string,
    buckets: number[],
    ...labelNames: L[]
  ): Histogram<L> {
    return new Histogram({ name, help, buckets, labelNames, registers: [this] });
  }
}
