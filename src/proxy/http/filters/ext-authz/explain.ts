// The filter for explain: nobody is asked; it is told who would be, and that the answer decides.
import type { FilterDecide } from "../../../config/http.ts";
import { askedPolicy } from "../../../config/parse/asked-policy.ts";
import { addStep } from "../../../config/trace.ts";
import { describeService } from "./service-words.ts";
import type { ExtAuthzRouteSettings, ExtAuthzSettings } from "./settings.ts";

export function explainExtAuthz(settings: ExtAuthzSettings): FilterDecide {
  return (subject, routeSettings, trace) => {
    if ((routeSettings[0] as ExtAuthzRouteSettings | undefined)?.disabled === true) return null;
    const { allowsOnFailure, deniesUnasked, enabledBy, enabledShare, statusOnError } = settings;
    const isAsked =
      enabledShare.fraction > 0 && (enabledBy === null || enabledBy.matches(subject.metadata?.(enabledBy.filter)));
    if (!isAsked) {
      if (!deniesUnasked) return null;
      return {
        refusal: { status: statusOnError, reason: "requests that are not asked about are denied (deny_at_disable)" },
        authorization: null,
      };
    }
    if (trace !== null) {
      const share =
        enabledShare.fraction < 1 ? ` about ${enabledShare.fraction * 100} % of such requests` : " about it";
      const failing = allowsOnFailure ? "the request passes" : `the request gets ${statusOnError}`;
      const policy = askedPolicy(enabledBy, subject.metadata?.(enabledBy?.filter ?? ""), settings.policyOrigins);
      addStep(
        trace,
        "external authz",
        `asks ${describeService(settings)}${share}${policy.words}: its answer decides; when there is none, ${failing}`,
        policy.origins,
      );
    }
    return null;
  };
}
