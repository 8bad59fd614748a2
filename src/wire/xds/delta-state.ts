// The client side of the delta xDS protocol as a state machine without I/O: what is subscribed, which version of what
// was accepted, what to ask for on a new stream, and the answer (ACK or NACK) to each response.
// Protocol: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#incremental-xds
import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Node } from "../gen/envoy/config/core/v3/base_pb.ts";
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
} from "../gen/envoy/service/discovery/v3/discovery_pb.ts";
import { StatusSchema } from "../gen/google/rpc/status_pb.ts";

interface ReceivedResource {
  readonly name: string;
  readonly version: string;
  readonly resource: Any;
}

export interface DeltaUpdate {
  readonly typeUrl: string;
  /** The server's version of the whole type; may be empty. */
  readonly version: string;
  readonly added: readonly ReceivedResource[];
  /** Names that are gone, or that were asked for and do not exist. */
  readonly removed: readonly string[];
}

/** Which resources of an update were refused and why; an empty map accepts everything. */
export type Refusals = ReadonlyMap<string, string>;

/** An update of which a part has to be made ready by somebody before it can be taken. */
export interface PreparedUpdate {
  readonly ready: DeltaUpdate;
  /** Null: nothing is left. Never rejects; what could not be made ready is refused. */
  readonly rest: Promise<{ readonly update: DeltaUpdate; readonly refusals: Refusals }> | null;
}

/** gRPC's INVALID_ARGUMENT, as Envoy sends it in a NACK. */
const invalidArgument = 3;
/** A NACK's text is cut there. */
const maxErrorLength = 4096;

interface TypeState {
  /** Null asks for everything of the type. */
  readonly names: Set<string> | null;
  /** Accepted versions by resource name. */
  readonly versions: Map<string, string>;
  isRequested: boolean;
}

export class DeltaState {
  readonly #node: Node;
  readonly #types = new Map<string, TypeState>();
  #isNodeSent = false;
  #isOpen = false;

  /** `wildcardTypes` are asked for as a whole (CDS, LDS); `namedTypes` by name (EDS, RDS). Both in asking order. */
  constructor(node: Node, types: readonly { readonly typeUrl: string; readonly wildcard: boolean }[]) {
    this.#node = node;
    for (const { typeUrl, wildcard } of types) {
      this.#types.set(typeUrl, { names: wildcard ? null : new Set(), versions: new Map(), isRequested: false });
    }
  }

  /** A new stream: the requests that begin it, with the versions that we still have. */
  open(): DeltaDiscoveryRequest[] {
    this.#isOpen = true;
    this.#isNodeSent = false;
    const requests: DeltaDiscoveryRequest[] = [];
    for (const [typeUrl, state] of this.#types) {
      state.isRequested = false;
      // A first request without names would ask for everything.
      if (state.names !== null && state.names.size === 0) continue;
      state.isRequested = true;
      requests.push(
        this.#request({
          typeUrl,
          resourceNamesSubscribe: [...(state.names ?? [])],
          initialResourceVersions: Object.fromEntries(state.versions),
        }),
      );
    }
    return requests;
  }

  close(): void {
    this.#isOpen = false;
  }

  /** Changes the wanted names of a named type; the request to send, or null when there is nothing to say. */
  setNames(typeUrl: string, wanted: ReadonlySet<string>): DeltaDiscoveryRequest | null {
    const state = this.#types.get(typeUrl);
    if (state === undefined || state.names === null) return null;
    const names = state.names;
    const added = [...wanted].filter((name) => !names.has(name));
    const dropped = [...names].filter((name) => !wanted.has(name));
    if (added.length === 0 && dropped.length === 0) return null;
    for (const name of added) names.add(name);
    for (const name of dropped) {
      names.delete(name);
      state.versions.delete(name);
    }
    if (!this.#isOpen) return null;
    if (!state.isRequested && names.size === 0) return null;
    state.isRequested = true;
    return this.#request({ typeUrl, resourceNamesSubscribe: added, resourceNamesUnsubscribe: dropped });
  }

  /** What a response says, without resources that were not asked for. */
  read(response: DeltaDiscoveryResponse): DeltaUpdate {
    const names = this.#types.get(response.typeUrl)?.names;
    const isWanted = (name: string): boolean => names === null || (names?.has(name) ?? false);
    const added: ReceivedResource[] = [];
    for (const { name, version, resource } of response.resources) {
      if (resource !== undefined && isWanted(name)) added.push({ name, version, resource });
    }
    return {
      typeUrl: response.typeUrl,
      version: response.systemVersionInfo,
      added,
      removed: response.removedResources.filter(isWanted),
    };
  }

  /** Remembers what was accepted and makes the ACK, or the NACK that names the refused resources. */
  answer(response: DeltaDiscoveryResponse, update: DeltaUpdate, refusals: Refusals): DeltaDiscoveryRequest {
    const versions = this.#types.get(update.typeUrl)?.versions;
    for (const { name, version } of update.added) if (!refusals.has(name)) versions?.set(name, version);
    for (const name of update.removed) versions?.delete(name);
    const text = [...refusals.values()].join("; ");
    return this.#request({
      typeUrl: update.typeUrl,
      responseNonce: response.nonce,
      ...(text !== "" && {
        errorDetail: create(StatusSchema, { code: invalidArgument, message: text.slice(0, maxErrorLength) }),
      }),
    });
  }

  versions(typeUrl: string): ReadonlyMap<string, string> {
    return this.#types.get(typeUrl)?.versions ?? new Map();
  }

  #request(init: Omit<Parameters<typeof create<typeof DeltaDiscoveryRequestSchema>>[1] & object, "$typeName">) {
    const request = create(DeltaDiscoveryRequestSchema, init);
    if (!this.#isNodeSent) {
      request.node = this.#node;
      this.#isNodeSent = true;
    }
    return request;
  }
}
