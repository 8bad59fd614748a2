// A Wasm module and how it is run, as WasmPlugin and TrafficExtension name it; and the ports and directions that an
// extension is for.
import {
  array,
  type DefaultedField,
  type Fields,
  integer,
  list,
  oneOf,
  optional,
  record,
  string,
  text,
  withDefault,
} from "../decode.ts";
import type { Report } from "../report.ts";

export interface WasmModule {
  readonly url: string;
  readonly sha256: string;
  readonly imagePullPolicy: string;
  readonly imagePullSecret?: string;
  readonly verificationKey?: string;
  readonly pluginConfig: Readonly<Record<string, unknown>>;
  readonly pluginName?: string;
  readonly failStrategy: string;
  readonly vmConfig?: { readonly env: readonly EnvironmentVariable[] };
  readonly type: string;
}

interface EnvironmentVariable {
  readonly name: string;
  readonly valueFrom: "INLINE" | "HOST";
  readonly value: string;
}

export interface TrafficSelector {
  readonly mode: string;
  readonly ports: readonly { readonly number?: number }[];
}

const environmentVariable = record<EnvironmentVariable>({
  name: text,
  valueFrom: withDefault(oneOf(["INLINE", "HOST"]), "INLINE"),
  value: text,
});

export const wasmModule: Fields<WasmModule> = {
  url: text,
  sha256: text,
  imagePullPolicy: withDefault(oneOf(["UNSPECIFIED_POLICY", "IfNotPresent", "Always"]), "UNSPECIFIED_POLICY"),
  imagePullSecret: optional(string),
  verificationKey: optional(string),
  pluginConfig: withDefault((value, path, report) => {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
    report({ path, message: "expected an object" });
    return undefined;
  }, {}),
  pluginName: optional(string),
  failStrategy: withDefault(oneOf(["FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"]), "FAIL_CLOSE"),
  vmConfig: optional(record<NonNullable<WasmModule["vmConfig"]>>({ env: list(environmentVariable, 256) })),
  type: withDefault(oneOf(["UNSPECIFIED_PLUGIN_TYPE", "HTTP", "NETWORK"]), "UNSPECIFIED_PLUGIN_TYPE"),
};

export const trafficSelectors: Fields<{ readonly match: readonly TrafficSelector[] }>["match"] = list(
  record<TrafficSelector>({
    mode: withDefault(oneOf(["UNDEFINED", "CLIENT", "SERVER", "CLIENT_AND_SERVER"]), "UNDEFINED"),
    ports: withDefault(array(record<TrafficSelector["ports"][number]>({ number: optional(integer(1, 65_535)) })), []),
  }),
);

/** In the order in which extensions run. */
export const extensionPhase: DefaultedField<string> = withDefault(
  oneOf(["UNSPECIFIED_PHASE", "AUTHN", "AUTHZ", "STATS"]),
  "UNSPECIFIED_PHASE",
);

const schemes: ReadonlySet<string> = new Set(["oci", "file", "http", "https"]);

export function validateWasmModule(module: WasmModule, path: string, report: Report): void {
  const { url, sha256, imagePullSecret, pluginName, vmConfig } = module;
  if (url === "") report({ path: `${path}.url`, message: "the address of the module is missing" });
  else if (!isModuleAddress(url)) {
    const message = `"${url}" is not the address of a module`;
    report({ path: `${path}.url`, message, fix: "oci://, https://, http:// or file://" });
  }
  if (!/^(?:[a-f0-9]{64})?$/.test(sha256)) {
    report({ path: `${path}.sha256`, message: "the checksum is not 64 hexadecimal digits" });
  }
  if (imagePullSecret !== undefined) validateLength(imagePullSecret, 253, `${path}.imagePullSecret`, report);
  if (pluginName !== undefined) validateLength(pluginName, 256, `${path}.pluginName`, report);
  validateEnvironment(vmConfig?.env ?? [], `${path}.vmConfig.env`, report);
}

/** Of a registry: `oci://`, or an address without a scheme. */
export function isImage(url: string): boolean {
  return !/^(?:file|https?):\/\//i.test(url);
}

/** A path without a scheme is that of an image. */
function isModuleAddress(url: string): boolean {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(url)?.[1];
  if (scheme !== undefined) return schemes.has(scheme) && URL.canParse(url);
  return /^[A-Za-z0-9][A-Za-z0-9._-]*(?::\d+)?(?:\/[A-Za-z0-9._@:-]+)*$/.test(url);
}

function validateLength(value: string, most: number, path: string, report: Report): void {
  if (value === "") report({ path, message: "the value is empty", fix: "leave the field out" });
  else if (value.length > most) report({ path, message: `the value is longer than ${most} characters` });
}

function validateEnvironment(variables: readonly EnvironmentVariable[], path: string, report: Report): void {
  const seen = new Set<string>();
  for (const [index, { name, valueFrom, value }] of variables.entries()) {
    const at = `${path}[${index}]`;
    if (name === "") report({ path: `${at}.name`, message: "the variable has no name" });
    else if (seen.has(name)) report({ path: `${at}.name`, message: `the variable ${name} is there twice` });
    seen.add(name);
    if (valueFrom === "HOST" && value !== "") {
      report({ path: `${at}.value`, message: "a value goes only with valueFrom INLINE" });
    }
  }
}

export function validateTrafficSelectors(selectors: readonly TrafficSelector[], report: Report): void {
  for (const [index, { ports }] of selectors.entries()) {
    const seen = new Set<number>();
    for (const [at, { number }] of ports.entries()) {
      const path = `spec.match[${index}].ports[${at}].number`;
      if (number === undefined) report({ path, message: "the number of the port is missing" });
      else if (seen.has(number)) report({ path, message: `port ${number} is there twice` });
      else seen.add(number);
    }
  }
}
