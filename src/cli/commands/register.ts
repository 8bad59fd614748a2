// All commands that a person types, in the order of the help text.
import type { Command } from "commander";
import type { CliContext } from "../context.ts";
import { registerAnalyze } from "./analyze.ts";
import { registerAuthn } from "./authn/register.ts";
import { registerAuthz } from "./authz/register.ts";
import { registerCerts } from "./certs/register.ts";
import { registerCompile } from "./compile/register.ts";
import { registerDown } from "./down.ts";
import { registerExec } from "./exec.ts";
import { registerExperimental } from "./experimental/register.ts";
import { registerExplain } from "./explain/register.ts";
import { registerKubeInject } from "./kube-inject.ts";
import { registerLogs } from "./logs.ts";
import { registerMtls } from "./mtls/register.ts";
import { registerProxyConfig } from "./proxy-config/register.ts";
import { registerProxyStatus } from "./proxy-status.ts";
import { registerStatus } from "./status.ts";
import { registerUp } from "./up/register.ts";
import { registerValidate } from "./validate.ts";
import { registerVersion } from "./version.ts";

/** `finish` sets the exit code of a command that ran to its end. */
export function registerCommands(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  registerUp(program, context, finish);
  registerDown(program, context);
  registerStatus(program, context, finish);
  registerLogs(program, context);
  registerExec(program, context, finish);
  registerProxyStatus(program, context, finish);
  registerProxyConfig(program, context);
  registerCerts(program, context, finish);
  registerExplain(program, context, finish);
  registerMtls(program, context, finish);
  registerAuthn(program, context, finish);
  registerAuthz(program, context, finish);
  registerValidate(program, context, finish);
  registerAnalyze(program, context, finish);
  registerCompile(program, context, finish);
  registerKubeInject(program, context, finish);
  registerExperimental(program, context, finish);
  registerVersion(program, context);
}
