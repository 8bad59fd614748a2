import assert from "node:assert/strict";
import { test } from "node:test";
import { toJson } from "@bufbuild/protobuf";
import { decodeView } from "#proxy/config/decode-view.ts";
import { allTypes } from "#wire/gen/all-types.ts";
import { RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import { type CompiledResources, compileProxy } from "../compile.ts";
import { refusals } from "../testing/accepted.ts";
import { mesh, service, sidecarOf, workload } from "../testing/mesh.ts";
import { filterNames } from "../testing/summary.ts";

const ports = [{ name: "http", number: 80 }];

function labeled(labels: Readonly<Record<string, string>>): KubernetesObject[] {
  const app = service("app", "10.96.0.50", ports);
  return [
    { ...app, metadata: { ...app.metadata, labels } },
    ...workload("app", ports, { ip: "10.244.1.1" }),
    service("other", "10.96.0.51", ports),
  ];
}

function compiled(labels: Readonly<Record<string, string>>, yaml = ""): CompiledResources {
  const result = compileProxy(mesh(labeled(labels), yaml), sidecarOf("client", "10.244.0.9"));
  assert.deepEqual(refusals(result), []);
  const view = decodeView({
    listeners: result.listeners.values(),
    routes: result.routes.values(),
    clusters: result.clusters.values(),
    endpoints: result.endpoints.values(),
    extensions: result.extensions.values(),
  });
  assert.deepEqual(view.issues, []);
  return result;
}

interface Owner {
  readonly name: string;
  readonly typedPerFilterConfig?: Readonly<
    Record<string, { statefulSession: { sessionState: { typedConfig: object } } }>
  >;
  readonly routes?: readonly Owner[];
}

/** Session states by virtual host and route. */
function sessions({ routes }: CompiledResources): Record<string, unknown> {
  const found = routes.get("80") ?? assert.fail("no routes");
  const json = toJson(RouteConfigurationSchema, found, { registry: allTypes }) as unknown as { virtualHosts: Owner[] };
  const owners = json.virtualHosts.flatMap((host) => [host, ...(host.routes ?? [])]);
  return Object.fromEntries(
    owners.flatMap(({ name, typedPerFilterConfig }) => {
      const settings = typedPerFilterConfig?.["envoy.filters.http.stateful_session"];
      if (settings === undefined) return [];
      const { "@type": _type, ...state } = settings.statefulSession.sessionState.typedConfig as Record<string, unknown>;
      return [[name, state]];
    }),
  );
}

const filtersOf = ({ listeners }: CompiledResources): string[] =>
  filterNames(listeners.get("0.0.0.0_80")?.filterChains.at(-1));

test("a Service with the label has sessions by cookie or header, others and meshes without any have none", () => {
  const host = "app.default.svc.cluster.local:80";
  assert.deepEqual(sessions(compiled({ "istio.io/persistent-session": "sid" })), {
    [host]: { cookie: { name: "sid", path: "/" } },
  });
  assert.deepEqual(sessions(compiled({ "istio.io/persistent-session": "sid:/shop" })), {
    [host]: { cookie: { name: "sid", path: "/shop" } },
  });
  const byHeader = compiled({ "istio.io/persistent-session-header": "x-session" });
  assert.deepEqual(sessions(byHeader), { [host]: { name: "x-session" } });
  assert.deepEqual(filtersOf(byHeader).slice(-2), ["envoy.filters.http.stateful_session", "envoy.filters.http.router"]);
  const none = compiled({});
  assert.deepEqual(sessions(none), {});
  assert.ok(!filtersOf(none).includes("envoy.filters.http.stateful_session"));
});

test("a route of a VirtualService has the sessions of its destination", () => {
  const yaml = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: other}
spec: {hosts: [other], http: [{name: to-app, route: [{destination: {host: app}}]}]}
`;
  const found = sessions(compiled({ "istio.io/persistent-session": "sid" }, yaml));
  assert.deepEqual(found["to-app"], { cookie: { name: "sid", path: "/" } });
});

test("sessions reach endpoints that drain", () => {
  const cluster = (labels: Readonly<Record<string, string>>) =>
    compiled(labels).clusters.get("outbound|80||app.default.svc.cluster.local")?.commonLbConfig?.overrideHostStatus;
  assert.deepEqual(cluster({ "istio.io/persistent-session": "sid" })?.statuses, [1, 3, 0, 5]);
  assert.equal(cluster({}), undefined);
});
