// External authorization of connections: a service that speaks gRPC says whether one may pass. Nothing is read from it, and
// nothing is connected for it, before there is an answer.

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { formatOrigin, type Origin } from "#base/issue.ts";
import { type ExtAuthz, ExtAuthzSchema } from "#wire/gen/envoy/extensions/filters/network/ext_authz/v3/ext_authz_pb.ts";
import { CheckRequestSchema, CheckResponseSchema } from "#wire/gen/envoy/service/auth/v3/external_auth_pb.ts";
import { noOutcome } from "../../../config/listener.ts";
import { askedPolicy } from "../../../config/parse/asked-policy.ts";
import { decodeGrpcService, type GrpcServiceSettings } from "../../../config/parse/grpc-service.ts";
import { decodeMetadataMatcher, type MetadataTest } from "../../../config/parse/matcher.ts";
import { refuseUnknown } from "../../../config/parse/values.ts";
import { addStep } from "../../../config/trace.ts";
import { destinationPeer, sourcePeer } from "../../../http/filters/ext-authz/check-request.ts";
import type { Counter, Gauge, Stats } from "../../../stats/stats.ts";
import { callGrpc, type GrpcCaller, type GrpcFailure } from "../../../upstream/grpc-call.ts";
import type { NetworkConnection } from "../../connection.ts";
import {
  CONTINUE,
  defineNetworkFilter,
  type FilterPlace,
  type NetworkFilter,
  type NetworkFilterType,
  STOP,
  settingsFrom,
  type Verdict,
} from "../../filter.ts";

interface ExtAuthzSettings {
  readonly statPrefix: string;
  readonly service: GrpcServiceSettings;
  readonly allowsOnFailure: boolean;
  /** Only connections with this in dynamic metadata are asked about; null: all. */
  readonly enabledBy: MetadataTest | null;
  readonly policyOrigins: ReadonlyMap<string, Origin>;
  readonly sendsCertificate: boolean;
  readonly sendsServerName: boolean;
}

const metadataNamespace = "envoy.filters.network.ext_authz";

export const extAuthz: NetworkFilterType = defineNetworkFilter<ExtAuthzSettings>({
  type: "ext_authz",
  messages: [settingsFrom(ExtAuthzSchema, parseExtAuthz)],
  decide:
    ({ allowsOnFailure, enabledBy, policyOrigins, service }) =>
    ({ subject }, trace) => {
      const metadata = subject.metadata?.(enabledBy?.filter ?? "");
      const isAsked = enabledBy === null || enabledBy.matches(metadata);
      if (isAsked && trace !== null) {
        const policy = askedPolicy(enabledBy, metadata, policyOrigins);
        const failing = allowsOnFailure ? "the connection passes" : "the connection is closed";
        addStep(
          trace,
          "external authz",
          `asks the authorization service ${service.cluster} (gRPC) about it${policy.words}: its answer decides; when there is none, ${failing}`,
          policy.origins,
        );
      }
      return noOutcome;
    },
  configure: (settings, { environment }) => {
    const stats = new ExtAuthzStats(environment.http.stats, `ext_authz.${settings.statPrefix}`);
    return { shared: null, create: () => new ExtAuthzFilter(settings, stats) };
  },
});

const defaultTimeoutMs = 200;

function parseExtAuthz(message: ExtAuthz, { path, policyOrigins, problems }: FilterPlace): ExtAuthzSettings | null {
  refuseUnknown(message, path, problems);
  const service = decodeGrpcService(message.grpcService, defaultTimeoutMs, `${path}.grpc_service`, problems);
  if (service === null) return null;
  if (message.bootstrapMetadataLabelsKey !== "") {
    problems.leftOut(`${path}.bootstrap_metadata_labels_key`, "sending labels of this proxy");
  }
  const { filterEnabledMetadata: enabled, statPrefix } = message;
  return {
    statPrefix: statPrefix === "" || statPrefix.endsWith(".") ? statPrefix : `${statPrefix}.`,
    service,
    allowsOnFailure: message.failureModeAllow,
    enabledBy:
      enabled === undefined ? null : decodeMetadataMatcher(enabled, `${path}.filter_enabled_metadata`, problems),
    policyOrigins,
    sendsCertificate: message.includePeerCertificate,
    sendsServerName: message.includeTlsSession,
  };
}

class ExtAuthzStats {
  readonly total: Counter;
  readonly ok: Counter;
  readonly denied: Counter;
  readonly error: Counter;
  readonly disabled: Counter;
  readonly failureModeAllowed: Counter;
  readonly closed: Counter;
  readonly active: Gauge;

  constructor(stats: Stats, prefix: string) {
    this.total = stats.counter(`${prefix}total`);
    this.ok = stats.counter(`${prefix}ok`);
    this.denied = stats.counter(`${prefix}denied`);
    this.error = stats.counter(`${prefix}error`);
    this.disabled = stats.counter(`${prefix}disabled`);
    this.failureModeAllowed = stats.counter(`${prefix}failure_mode_allowed`);
    this.closed = stats.counter(`${prefix}cx_closed`);
    this.active = stats.gauge(`${prefix}active`);
  }
}

class ExtAuthzFilter implements NetworkFilter, GrpcCaller {
  readonly #settings: ExtAuthzSettings;
  readonly #stats: ExtAuthzStats;
  #connection: NetworkConnection | null = null;
  #cancel: (() => void) | null = null;

  constructor(settings: ExtAuthzSettings, stats: ExtAuthzStats) {
    this.#settings = settings;
    this.#stats = stats;
  }

  onNewConnection(connection: NetworkConnection): Verdict {
    const { enabledBy, sendsCertificate, sendsServerName, service } = this.#settings;
    const { environment, info } = connection;
    if (enabledBy !== null && !enabledBy.matches(info.metadata?.get(enabledBy.filter))) {
      this.#stats.disabled.add();
      return CONTINUE;
    }
    this.#connection = connection;
    this.#stats.total.add();
    this.#stats.active.add(1);
    const request = create(CheckRequestSchema, {
      attributes: {
        source: sourcePeer(info, sendsCertificate),
        destination: destinationPeer(info),
        ...(sendsServerName && info.serverName !== "" && { tlsSession: { sni: info.serverName } }),
      },
    });
    const { authority, cluster, metadata, timeoutMs } = service;
    const message = toBinary(CheckRequestSchema, request);
    const path = "/envoy.service.auth.v3.Authorization/Check";
    this.#cancel = callGrpc(environment, { authority, cluster, message, metadata, path, timeoutMs }, this);
    return STOP;
  }

  onGrpcDone(message: Buffer): void {
    const connection = this.#settle();
    if (connection === null) return;
    try {
      const { dynamicMetadata, status } = fromBinary(CheckResponseSchema, message);
      for (const [key, value] of Object.entries(dynamicMetadata ?? {})) {
        connection.info.setMetadata(metadataNamespace, key, value);
      }
      if ((status?.code ?? 0) === 0) {
        this.#stats.ok.add();
        connection.continue();
      } else {
        this.#stats.denied.add();
        const words = status?.message ? `: ${status.message}` : "";
        this.#close(connection, "ext_authz_denied", `denies it with gRPC status ${status?.code}${words}`);
      }
    } catch {
      this.#fail(connection, "its answer is not a CheckResponse");
    }
  }

  onGrpcFailed({ status, words }: GrpcFailure): void {
    const connection = this.#settle();
    if (connection !== null) this.#fail(connection, `${words} (gRPC status ${status})`);
  }

  #fail(connection: NetworkConnection, words: string): void {
    this.#stats.error.add();
    if (this.#settings.allowsOnFailure) {
      this.#stats.failureModeAllowed.add();
      connection.continue();
    } else {
      this.#close(connection, "ext_authz_error", `can't be asked: ${words}`);
    }
  }

  #close(connection: NetworkConnection, details: string, words: string): void {
    this.#stats.closed.add();
    const { enabledBy, policyOrigins, service } = this.#settings;
    const policy = askedPolicy(enabledBy, connection.info.metadata?.get(enabledBy?.filter ?? ""), policyOrigins);
    const places = policy.origins.map((origin) => ` [${formatOrigin(origin)}]`).join("");
    const cause = `the authorization service ${service.cluster} (gRPC) ${words}${policy.words}${places}`;
    connection.refuse({ flag: "UAEX", details, cause });
  }

  /** The question is over. */
  #settle(): NetworkConnection | null {
    this.#cancel = null;
    const connection = this.#connection;
    this.#connection = null;
    if (connection !== null) this.#stats.active.add(-1);
    return connection;
  }

  onClose(): void {
    this.#cancel?.();
    this.#settle();
  }
}
