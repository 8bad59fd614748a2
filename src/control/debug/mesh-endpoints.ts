// Debug endpoints about the configuration and what was made of it.
import type { MeshObject } from "#mesh/objects/mesh-object.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { type ObjectStatus, objectStatuses } from "../status/object-status.ts";
import { observe } from "../status/observation.ts";
import { type DebugState, type Endpoint, withSnapshot } from "./answer.ts";

export const meshEndpoints: Readonly<Record<string, Endpoint>> = {
  statusz: {
    help: "The one state of every object of Istio's kinds, and at how many proxies of this instance it is in force",
    answer: (state) =>
      withSnapshot(state, (snapshot) =>
        statusesOf(state, snapshot).map(({ origin, state: force, progress, reasons, patches }) => ({
          ...origin,
          state: force,
          ...progress,
          reasons,
          ...(patches !== undefined && { patches: patches.effects }),
        })),
      ),
  },
  configz: {
    help: "Every object of Istio's kinds: its state, why, and its issues",
    answer: (state) =>
      withSnapshot(state, (snapshot) => ({
        version: snapshot.version,
        issues: [...state.sourceIssues(), ...snapshot.issues],
        resources: statusesOf(state, snapshot),
      })),
  },
  registryz: {
    help: "Services",
    answer: (state) => withSnapshot(state, (snapshot) => snapshot.services),
  },
  endpointz: {
    help: "Endpoints of every service port",
    answer: (state) => withSnapshot(state, endpointsOf),
  },
  authorizationz: {
    help: "AuthorizationPolicies by namespace",
    answer: (state) => withSnapshot(state, (snapshot) => byNamespace(snapshot.objects("AuthorizationPolicy"))),
  },
  telemetryz: {
    help: "Telemetry resources by namespace",
    answer: (state) => withSnapshot(state, (snapshot) => byNamespace(snapshot.objects("Telemetry"))),
  },
  mesh: {
    help: "MeshConfig in force",
    answer: (state) => withSnapshot(state, (snapshot) => snapshot.meshConfig),
  },
  inject: {
    help: "Templates and values that sidecars are injected with",
    answer: (state) => {
      const injection = state.injection();
      return injection === undefined ? { code: 404, message: "this instance injects nothing" } : { json: injection };
    },
  },
  cachez: {
    help: "Encoded resources that proxies share, and sets of them",
    answer: (state) => ({ json: state.pusher.sharedResources() }),
  },
  push_status: {
    help: "The last snapshot, and how many proxies have it",
    answer: (state) => ({ json: pushStatus(state) }),
  },
};

function statusesOf({ connections }: DebugState, snapshot: MeshSnapshot): ObjectStatus[] {
  return objectStatuses(snapshot, observe(snapshot, connections.values()));
}

function byNamespace(objects: readonly MeshObject<unknown>[]): unknown {
  const groups = Object.groupBy(objects, ({ namespace }) => namespace);
  return Object.fromEntries(
    Object.entries(groups).map(([namespace, some = []]) => [
      namespace,
      some.map(({ name, origin, spec }) => ({ name, origin, spec })),
    ]),
  );
}

function endpointsOf(snapshot: MeshSnapshot): unknown {
  return snapshot.services.map((service) => ({
    hostname: service.hostname,
    namespace: service.namespace,
    ports: service.ports.map((port) => ({
      port: port.number,
      name: port.name,
      endpoints: snapshot.endpoints(service, port.number),
    })),
  }));
}

function pushStatus({ connections, pusher }: DebugState): unknown {
  const version = pusher.snapshot?.version ?? "";
  const all = [...connections.values()];
  return {
    snapshotVersion: version,
    proxies: all.length,
    withErrors: all.filter((entry) => [...entry.types.values()].some((type) => type.rejected.size > 0)).length,
    waiting: all.filter((entry) => [...entry.types.values()].some((type) => type.outstanding !== undefined)).length,
    changes: pusher.snapshot?.changes ?? [],
  };
}
