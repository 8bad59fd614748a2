// HOT: per request. envoy.filters.http.admission_control: when too few requests succeed, some are refused before they
// cost the upstream anything. The share grows as the success rate falls below its threshold.
import { AdmissionControlSchema } from "#wire/gen/envoy/extensions/filters/http/admission_control/v3/admission_control_pb.ts";
import type { Counter } from "../../../stats/stats.ts";
import {
  CONTINUE,
  DONE,
  defineHttpFilter,
  type FilterContext,
  type HttpFilter,
  type HttpFilterType,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";
import { admissionDenied } from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";
import { type AdmissionSettings, parseAdmissionControl } from "./settings.ts";
import { SuccessWindow } from "./success-window.ts";

export const admissionControl: HttpFilterType = defineHttpFilter<AdmissionSettings>({
  type: "admission_control",
  messages: [settingsFrom(AdmissionControlSchema, parseAdmissionControl)],
  configure: (settings, context) => sharedFilter(new AdmissionFilter(settings, context)),
});

class AdmissionFilter implements HttpFilter {
  readonly #settings: AdmissionSettings;
  readonly #context: FilterContext<never>;
  readonly #window: SuccessWindow;
  readonly #rejected: Counter;
  readonly #success: Counter;
  readonly #failure: Counter;

  constructor(settings: AdmissionSettings, context: FilterContext<never>) {
    const { stats } = context.environment;
    this.#settings = settings;
    this.#context = context;
    this.#window = new SuccessWindow(settings.windowMs);
    this.#rejected = stats.counter(`${context.statPrefix}admission_control.rq_rejected`);
    this.#success = stats.counter(`${context.statPrefix}admission_control.rq_success`);
    this.#failure = stats.counter(`${context.statPrefix}admission_control.rq_failure`);
  }

  onRequestHeaders(stream: Stream): Verdict {
    if (!this.#settings.isEnabled) return CONTINUE;
    const probability = this.#rejectionProbability();
    if (probability > 0 && this.#context.environment.loop.random() < probability) {
      this.#rejected.add();
      const cause = `too few requests succeed: ${Math.round(probability * 100)} % are refused`;
      stream.sendLocalReply(admissionDenied, cause, []);
      return DONE;
    }
    // A request that is refused here says nothing of the upstream, so only the others are watched.
    stream.attach(this, { onComplete: (done) => this.#record(done) });
    return CONTINUE;
  }

  #rejectionProbability(): number {
    const { windowMs, requestsPerSecond, successThreshold, aggression, maxRejection } = this.#settings;
    const { requests, successes } = this.#window.counts(this.#context.environment.loop.now);
    if (requests === 0 || (requests * 1000) / windowMs < requestsPerSecond) return 0;
    const probability = (requests - successes / successThreshold) / (requests + 1);
    if (probability <= 0) return 0;
    return Math.min(maxRejection, aggression === 1 ? probability : probability ** (1 / aggression));
  }

  #record(stream: Stream): void {
    const isSuccess = this.#isSuccess(stream);
    (isSuccess ? this.#success : this.#failure).add();
    this.#window.record(isSuccess, this.#context.environment.loop.now);
  }

  #isSuccess(stream: Stream): boolean {
    const { isGrpcSuccess, isHttpSuccess } = this.#settings;
    if (!stream.isGrpc) return stream.responseStatus !== 0 && isHttpSuccess(stream.responseStatus);
    const status = stream.grpcStatus;
    return status !== undefined && isGrpcSuccess(Number(status));
  }
}
