// envoy.service.auth.v3.CheckResponse as an outcome.
import {
  HeaderValueOption_HeaderAppendAction as Action,
  type HeaderValueOption,
} from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import type { CheckResponse } from "#wire/gen/envoy/service/auth/v3/external_auth_pb.ts";
import type { ChangeOperation, HeaderChange, Outcome } from "./outcome.ts";

export function grpcOutcome(response: CheckResponse): Outcome {
  const { httpResponse, status } = response;
  const metadata = response.dynamicMetadata ?? null;
  if ((status?.code ?? 0) === 0) {
    const ok = httpResponse.case === "okResponse" ? httpResponse.value : null;
    return {
      type: "allowed",
      request: [
        ...(ok?.headersToRemove ?? []).flatMap(removal),
        ...(ok?.headers ?? []).map((it) => change(it, "set", "append_if_there")),
      ],
      response: (ok?.responseHeadersToAdd ?? []).map((it) => change(it, "add", "add")),
      setParameters: ok?.queryParametersToSet ?? [],
      removedParameters: ok?.queryParametersToRemove ?? [],
      metadata: ok?.dynamicMetadata ?? metadata,
    };
  }
  const denied = httpResponse.case === "deniedResponse" ? httpResponse.value : null;
  return {
    type: "denied",
    status: statusOf(denied?.status?.code ?? 0),
    body: Buffer.from(denied?.body ?? "", "utf8"),
    response: (denied?.headers ?? []).map((it) => change(it, "set", "add")),
    metadata,
  };
}

/** A final status, or 403. */
function statusOf(code: number): number {
  return code >= 200 && code <= 599 ? code : 403;
}

function removal(name: string): HeaderChange[] {
  const lower = name.toLowerCase();
  return lower === "host" || lower.startsWith(":") ? [] : [{ name: lower, value: "", operation: "remove" }];
}

function change(option: HeaderValueOption, plain: ChangeOperation, appended: ChangeOperation): HeaderChange {
  const { header, append, appendAction } = option;
  const value =
    header === undefined || header.value !== ""
      ? Buffer.from(header?.value ?? "", "utf8")
      : Buffer.from(header.rawValue);
  return {
    name: header?.key.toLowerCase() ?? "",
    value: value.toString("latin1"),
    operation:
      append === undefined ? (actions[appendAction] ?? plain) : append ? appended : plain === "add" ? "set" : plain,
  };
}

/** The first action is also what an option says that says nothing: then the message's own default applies. */
const actions: Readonly<Record<number, ChangeOperation>> = {
  [Action.ADD_IF_ABSENT]: "add_if_absent",
  [Action.OVERWRITE_IF_EXISTS_OR_ADD]: "set",
  [Action.OVERWRITE_IF_EXISTS]: "set_if_there",
};
