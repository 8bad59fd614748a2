// All checks between objects.
import { checkCredentials } from "./credentials.ts";
import { checkDelegations } from "./delegations.ts";
import { checkDestinationRules } from "./destination-rules.ts";
import { checkEnvoyFilters } from "./envoy-filters.ts";
import { checkExtensions } from "./extensions.ts";
import { checkFieldsInForce } from "./fields-not-in-force.ts";
import type { CheckContext, Finding } from "./finding.ts";
import { checkGateways } from "./gateways.ts";
import { checkPolicies } from "./policies.ts";
import { checkPolicyEffects } from "./policy-effects.ts";
import { checkRequestAuthentications } from "./request-authentications.ts";
import { checkSidecars } from "./sidecars.ts";
import { checkTelemetries } from "./telemetries.ts";
import { checkVirtualServices } from "./virtual-services.ts";
import { checkWorkloadEntries } from "./workload-entries.ts";
import { checkZoneAware } from "./zone-aware.ts";

export function checkAll(context: CheckContext): Finding[] {
  return [
    checkVirtualServices,
    checkDelegations,
    checkDestinationRules,
    checkGateways,
    checkCredentials,
    checkPolicies,
    checkPolicyEffects,
    checkSidecars,
    checkTelemetries,
    checkRequestAuthentications,
    checkEnvoyFilters,
    checkExtensions,
    checkFieldsInForce,
    checkZoneAware,
    checkWorkloadEntries,
  ].flatMap((check) => check(context));
}
