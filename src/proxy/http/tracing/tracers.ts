// The tracers of a proxy: one for each way that configurations send spans, whoever names it, so that its batches are full
// and its connections few.
import type { TracerConfig } from "../../config/tracing.ts";
import { OpenTelemetryTracer } from "./opentelemetry.ts";
import type { Tracer, TracerEnvironment } from "./tracer.ts";
import { ZipkinTracer } from "./zipkin.ts";

export class Tracers {
  readonly #environment: TracerEnvironment;
  /** A tracer lives as long as a connection manager has it, or spans wait in it. */
  readonly #byConfig = new Map<string, WeakRef<Tracer>>();

  constructor(environment: TracerEnvironment) {
    this.#environment = environment;
  }

  get(config: TracerConfig): Tracer {
    const key = JSON.stringify(config);
    const known = this.#byConfig.get(key)?.deref();
    if (known !== undefined) return known;
    for (const [other, tracer] of this.#byConfig) if (tracer.deref() === undefined) this.#byConfig.delete(other);
    const tracer =
      config.type === "zipkin"
        ? new ZipkinTracer(config, this.#environment)
        : new OpenTelemetryTracer(config, this.#environment);
    this.#byConfig.set(key, new WeakRef(tracer));
    return tracer;
  }

  /** Resolves when no finished span waits or is on its way. */
  async emptied(): Promise<void> {
    await Promise.all([...this.#byConfig.values()].map((tracer) => tracer.deref()?.emptied()));
  }
}
