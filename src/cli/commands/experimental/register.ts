// `outrigger x ...`: what istioctl has under `experimental`.
import type { Command } from "commander";
import type { CliContext } from "../../context.ts";
import { registerAuthzCheck } from "./register-authz.ts";
import { registerCheckInject } from "./register-check-inject.ts";
import { registerDescribe } from "./register-describe.ts";
import { registerPrecheck } from "./register-precheck.ts";

export function registerExperimental(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  const parent = program
    .command("experimental")
    .alias("x")
    .description("what istioctl has under this name: authz check, check-inject, describe, precheck");
  registerAuthzCheck(parent, context);
  registerCheckInject(parent, context, finish);
  registerDescribe(parent, context);
  registerPrecheck(parent, context, finish);
}
