// Generates src/wire/gen/ from the Envoy protos that ship inside @grpc/grpc-js-xds and from our own
// overlay protos in src/wire/protobuf/. Runs at `npm ci` (the prepare script); the output is not committed.
// `--if-stale` does nothing where the output was made of the same protos: after a pull, `npm run check` needs no more.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const out = join(root, "src/wire/gen");
const protoRoots = ["envoy-api", "googleapis", "protoc-gen-validate", "xds"];

/** The messages the product speaks. `buf` follows their imports. */
const entryPoints = [
  "envoy/config/bootstrap",
  "envoy/config/cluster",
  "envoy/config/core",
  "envoy/config/endpoint",
  "envoy/config/listener",
  "envoy/config/rbac",
  "envoy/config/route",
  "envoy/config/trace/v3/datadog.proto",
  "envoy/config/trace/v3/http_tracer.proto",
  "envoy/config/trace/v3/opentelemetry.proto",
  "envoy/config/trace/v3/skywalking.proto",
  "envoy/config/trace/v3/zipkin.proto",
  "envoy/admin/v3",
  "envoy/data/accesslog",
  "envoy/extensions/access_loggers/file",
  "envoy/extensions/access_loggers/filters",
  "envoy/extensions/access_loggers/grpc",
  "envoy/extensions/access_loggers/open_telemetry",
  "envoy/extensions/clusters/dynamic_forward_proxy",
  "envoy/extensions/compression",
  "envoy/extensions/filters",
  "envoy/extensions/http/header_formatters",
  "envoy/extensions/http/original_ip_detection",
  "envoy/extensions/http/stateful_session",
  "envoy/extensions/load_balancing_policies",
  "envoy/extensions/matching",
  "envoy/extensions/request_id",
  "envoy/extensions/resource_monitors",
  "envoy/extensions/path/match",
  "envoy/extensions/resource_monitors/downstream_connections",
  "envoy/extensions/retry",
  "envoy/extensions/tracers/opentelemetry",
  "envoy/extensions/transport_sockets/proxy_protocol",
  "envoy/extensions/transport_sockets/raw_buffer",
  "envoy/extensions/transport_sockets/tls",
  "envoy/extensions/upstreams/http",
  "envoy/service/accesslog/v3",
  "envoy/service/auth/v3",
  "envoy/service/discovery/v3",
  "envoy/service/ratelimit/v3",
  "envoy/service/secret/v3",
  "envoy/service/status/v3",
  "envoy/type",
  "udpa/type/v1",
  "xds/type/matcher/v3",
  "xds/type/v3",
  "istio",
  "opentelemetry",
];

/** Fields that are newer than the copies in the package, and the line that they are put behind. */
const newerFields: readonly { readonly file: string; readonly behind: string; readonly text: string }[] = [
  {
    file: "envoy/config/rbac/v3/rbac.proto",
    behind: "  oneof rule {",
    text: "SourcedMetadata sourced_metadata = 14;",
  },
  {
    file: "envoy/config/rbac/v3/rbac.proto",
    behind: "  oneof identifier {",
    text: "SourcedMetadata sourced_metadata = 13;",
  },
  {
    file: "envoy/config/rbac/v3/rbac.proto",
    behind: "package envoy.config.rbac.v3;",
    text: `enum MetadataSource { DYNAMIC = 0; ROUTE = 1; }
      message SourcedMetadata {
        type.matcher.v3.MetadataMatcher metadata_matcher = 1;
        MetadataSource metadata_source = 2;
      }`,
  },
  {
    file: "envoy/extensions/filters/network/rbac/v3/rbac.proto",
    behind: "message RBAC {",
    text: "google.protobuf.Duration delay_deny = 8;",
  },
  {
    file: "envoy/extensions/filters/network/rbac/v3/rbac.proto",
    behind: "package envoy.extensions.filters.network.rbac.v3;",
    text: 'import "google/protobuf/duration.proto";',
  },
  {
    file: "envoy/extensions/filters/http/jwt_authn/v3/config.proto",
    behind: "message JwtCacheConfig {",
    text: "uint32 jwt_max_token_size = 2;",
  },
  {
    file: "envoy/extensions/filters/http/jwt_authn/v3/config.proto",
    behind: "message JwtAuthentication {",
    text: "string stat_prefix = 7;",
  },
  {
    file: "envoy/type/tracing/v3/custom_tag.proto",
    behind: "    option (validate.required) = true;",
    text: "Header response_header = 6; string value = 7;",
  },
  {
    file: "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto",
    behind: "    google.protobuf.BoolValue spawn_upstream_span = 10;",
    text: "string operation = 11; string upstream_operation = 12; bool no_context_propagation = 13;",
  },
  {
    file: "envoy/config/trace/v3/zipkin.proto",
    behind: "package envoy.config.trace.v3;",
    text: 'import "envoy/config/core/v3/http_service.proto";',
  },
  {
    file: "envoy/config/trace/v3/zipkin.proto",
    behind: "message ZipkinConfig {",
    text: `enum TraceContextOption { USE_B3 = 0; USE_B3_WITH_W3C_PROPAGATION = 1; }
      TraceContextOption trace_context_option = 8;
      core.v3.HttpService collector_service = 9;`,
  },
  {
    file: "envoy/extensions/load_balancing_policies/common/v3/common.proto",
    behind: "    bool fail_traffic_on_panic = 3;",
    text: `bool force_locality_direct_routing = 4;
      message ForceLocalZone { google.protobuf.UInt32Value min_size = 1; }
      ForceLocalZone force_local_zone = 5;
      enum LocalityBasis { HEALTHY_HOSTS_NUM = 0; HEALTHY_HOSTS_WEIGHT = 1; }
      LocalityBasis locality_basis = 6;`,
  },
];

const stamp = join(out, "STAMP");
const state = stateOfInputs();
if (process.argv.includes("--if-stale") && existsSync(stamp) && readFileSync(stamp, "utf8") === state) process.exit(0);

const work = mkdtempSync(join(tmpdir(), "outrigger-gen-"));
try {
  const deps = join(root, "node_modules/@grpc/grpc-js-xds/deps");
  for (const protoRoot of protoRoots) cpSync(join(deps, protoRoot), work, { recursive: true });
  for (const extra of ["java", "tests"]) rmSync(join(work, extra), { recursive: true, force: true });
  for (const overlay of ["istio", "envoy", "opentelemetry"]) {
    cpSync(join(root, "src/wire/protobuf", overlay), join(work, overlay), { recursive: true });
  }
  dropOldEnvoyVersions(join(work, "envoy"));
  patchValidateProto(join(work, "validate/validate.proto"));
  patchWasmProto(join(work, "envoy/extensions/wasm/v3/wasm.proto"));
  patchZipkinProto(join(work, "envoy/config/trace/v3/zipkin.proto"));
  for (const { file, behind, text } of newerFields) insertBehind(join(work, file), behind, text);
  writeFileSync(join(work, "buf.yaml"), "version: v2\n");
  writeFileSync(join(work, "buf.gen.yaml"), bufTemplate());
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const paths = entryPoints.filter((path) => existsSync(join(work, path))).flatMap((path) => ["--path", path]);
  execFileSync(join(root, "node_modules/.bin/buf"), ["generate", "--include-imports", ...paths], {
    cwd: work,
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env["PATH"] ?? ""}` },
  });
  writeFileSync(join(out, "all-types.ts"), registryOfAll());
  writeFileSync(
    join(out, "NOTICE"),
    "Generated from the Envoy, xDS, googleapis and protoc-gen-validate protos (Apache-2.0) distributed with\n" +
      "@grpc/grpc-js-xds, and from the protos in src/wire/protobuf. Do not edit; run `npm run gen`.\n",
  );
  writeFileSync(stamp, state);
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** What the output is made of, as a hash. */
function stateOfInputs(): string {
  const hash = createHash("sha256");
  const folder = join(root, "src/wire/protobuf");
  const overlays = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".proto"))
    .sort();
  for (const file of overlays) hash.update(file).update(readFileSync(join(folder, file)));
  hash.update(readFileSync(import.meta.filename));
  hash.update(readFileSync(join(root, "node_modules/@grpc/grpc-js-xds/package.json")));
  return hash.digest("hex");
}

/** A module with every generated message: what may stand in an Any of JSON that a user wrote. Costly; loaded on demand. */
function registryOfAll(): string {
  const files = readdirSync(out, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith("_pb.ts"))
    .sort();
  const name = (file: string): string => `file_${file.slice(0, -"_pb.ts".length).replaceAll(/[^A-Za-z0-9]/g, "_")}`;
  return `import { createRegistry, type Registry } from "@bufbuild/protobuf";
${files.map((file) => `import { ${name(file)} } from "./${file}";\n`).join("")}
export const allTypes: Registry = createRegistry(
${files.map((file) => `  ${name(file)},\n`).join("")});
`;
}

// Only v3 of Envoy's API is complete in the package; the older versions import files that it lacks.
function dropOldEnvoyVersions(folder: string): void {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && !path.includes("/v3/") && !path.includes("/annotations/")) rmSync(path);
  }
}

// Envoy's protos use a field of StringRules that the bundled validate.proto does not declare yet.
function patchValidateProto(path: string): void {
  const text = readFileSync(path, "utf8");
  if (/message StringRules \{[^}]*ignore_empty/s.test(text)) return;
  writeFileSync(
    path,
    text.replace("message StringRules {", "message StringRules {\n  optional bool ignore_empty = 26;"),
  );
}

// The package's proto is older than Envoy 1.33 and 1.35, which have these fields of a Wasm plugin.
function patchWasmProto(path: string): void {
  const text = readFileSync(path, "utf8");
  if (text.includes("failure_policy")) return;
  const last = "CapabilityRestrictionConfig capability_restriction_config = 6;";
  writeFileSync(
    path,
    text
      .replace(
        'import "envoy/config/core/v3/base.proto";',
        'import "envoy/config/core/v3/backoff.proto";\nimport "envoy/config/core/v3/base.proto";',
      )
      .replace(
        'import "google/protobuf/any.proto";',
        'import "google/protobuf/any.proto";\nimport "google/protobuf/wrappers.proto";',
      )
      .replace(
        last,
        `${last}
  FailurePolicy failure_policy = 7;
  ReloadConfig reload_config = 8;
  google.protobuf.BoolValue allow_on_headers_stop_iteration = 9;`,
      )
      .concat(`
enum FailurePolicy {
  UNSPECIFIED = 0;
  FAIL_RELOAD = 1;
  FAIL_CLOSED = 2;
  FAIL_OPEN = 3;
}

message ReloadConfig {
  config.core.v3.BackoffStrategy backoff = 1;
}
`),
  );
}

// Either the collector's cluster or, since Envoy 1.36, its service is there: neither is required alone.
function patchZipkinProto(path: string): void {
  const text = readFileSync(path, "utf8");
  writeFileSync(path, text.replaceAll(" [(validate.rules).string = {min_len: 1}]", ""));
}

function insertBehind(path: string, line: string, text: string): void {
  const [before, after, ...more] = readFileSync(path, "utf8").replaceAll("\r\n", "\n").split(`\n${line}\n`);
  if (after === undefined || more.length > 0) throw new Error(`${path}: "${line}" is not there once`);
  writeFileSync(path, `${before}\n${line}\n${text}\n${after}`);
}

function bufTemplate(): string {
  return `version: v2
plugins:
  - local: protoc-gen-es
    out: ${out}
    strategy: all
    opt:
      - target=ts
      - import_extension=ts
      - erasable_syntax=true
    include_imports: true
`;
}
