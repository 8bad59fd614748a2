// IST0171: what the status of an object already says of it.
import { type Issue, Severity } from "#base/issue.ts";
import { type AnalysisContext, at, recordsOf, textOf } from "./context.ts";

const kinds = ["Service", "ServiceEntry", "AuthorizationPolicy"] as const;

export function checkConditions({ written }: AnalysisContext): Issue[] {
  return kinds.flatMap((kind) =>
    written.ofKind(kind).flatMap((object) =>
      recordsOf(at(object.body, "status", "conditions")).flatMap((condition, index) => {
        if (condition["status"] !== "False") return [];
        const [type, reason, text] = ["type", "reason", "message"].map((field) => textOf(condition[field]));
        const message = `the condition ${type} is False: ${[reason, text].filter((part) => part !== "").join(", ")}`;
        const path = `status.conditions[${index}]`;
        return [object.issue({ code: "IST0171", severity: Severity.Warning, path, message })];
      }),
    ),
  );
}
