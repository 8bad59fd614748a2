// `/clusters` and the statistics of clusters, over live clusters; the JSON is read back as Envoy's own message.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { silentLogger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import { ClustersSchema } from "#wire/gen/envoy/admin/v3/clusters_pb.ts";
import { HealthStatus } from "#wire/gen/envoy/config/core/v3/health_check_pb.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import { clusterConfig, endpointSet } from "../config/testing/resources.ts";
import { EventLoop } from "../transport/event-loop.ts";
import { ClusterManager } from "../upstream/cluster-manager.ts";
import { clusterStats } from "./cluster-stats.ts";
import { clustersJson, clustersText } from "./clusters.ts";
import type { ProxyState } from "./proxy-state.ts";

const name = "outbound|80||app.default.svc.cluster.local";

function running() {
  const clock = new ManualClock(1_000_000);
  const loop = new EventLoop({ clock, now: () => clock.now(), random: () => 0 });
  const manager = new ClusterManager({ loop, secrets: new SecretStore(), log: silentLogger });
  manager.update(
    clusterConfig(`
name: ${name}
type: EDS
eds_cluster_config: { service_name: app }
outlier_detection: { consecutive_5xx: 2, max_ejection_percent: 50, success_rate_minimum_hosts: 1, success_rate_request_volume: 1 }
circuit_breakers: { thresholds: [{ max_connections: 7, max_retries: 2 }] }
lb_subset_config: { fallback_policy: ANY_ENDPOINT, subset_selectors: [{ keys: [version] }] }
`),
  );
  manager.setEndpoints(
    endpointSet(`
cluster_name: app
endpoints:
- locality: { region: r, zone: z, sub_zone: s }
  lb_endpoints:
  - { endpoint: { hostname: web-0, address: { socket_address: { address: 10.0.0.1, port_value: 80 } } }, load_balancing_weight: 3, metadata: { filter_metadata: { envoy.lb: { canary: true, version: v1 } } } }
  - { endpoint: { address: { socket_address: { address: "fd00::2", port_value: 80 } } }, health_status: DEGRADED }
- priority: 1
  lb_endpoints:
  - { endpoint: { address: { socket_address: { address: 10.0.0.3, port_value: 80 } } }, health_status: DRAINING }
`),
  );
  const state = { clusters: () => manager.describe(), bootstrap: null } as unknown as ProxyState;
  const first = manager.get(name)?.endpoints[0];
  assert.ok(first);
  return { clock, manager, state, first };
}

test("the text has the lines of Envoy, and one that says why an endpoint is ejected and for how long", () => {
  const { clock, state, first } = running();
  first.outlier?.onStatus(500);
  first.outlier?.onStatus(500);
  clock.advance(1000);
  const lines = clustersText(state)
    .split("\n")
    .flatMap((line) => (line.startsWith(`${name}::`) ? [line.slice(name.length + 2)] : []));
  const has = (line: string): void => assert.ok(lines.includes(line), `${line} is not in\n${lines.join("\n")}`);
  has(`observability_name::${name}`);
  has("outlier::success_rate_average::-1");
  has("default_priority::max_connections::7");
  has("default_priority::max_requests::1024");
  has("default_priority::max_retries::2");
  has("added_via_api::true");
  has("eds_service_name::app");
  has("10.0.0.1:80::hostname::web-0");
  has("10.0.0.1:80::health_flags::/failed_outlier_check");
  has("10.0.0.1:80::weight::3");
  has("10.0.0.1:80::region::r");
  has("10.0.0.1:80::zone::z");
  has("10.0.0.1:80::sub_zone::s");
  has("10.0.0.1:80::canary::true");
  has("10.0.0.1:80::success_rate::-1");
  has("10.0.0.1:80::ejection::ejected 1 s ago because 2 responses in a row were 5xx, back in 29 s");
  has("[fd00::2]:80::health_flags::/degraded_eds_health");
  has("10.0.0.3:80::priority::1");
  has("10.0.0.3:80::health_flags::/failed_eds_health/eds_status_draining");
});

test("the JSON is Envoy's message", () => {
  const { clock, state, first } = running();
  first.outlier?.onStatus(200);
  first.outlier?.onStatus(500);
  first.outlier?.onStatus(500);
  clock.advance(2500);
  const [status] = fromJson(ClustersSchema, clustersJson(state) as JsonValue).clusterStatuses;
  assert.equal(status?.edsServiceName, "app");
  assert.equal(status?.circuitBreakers?.thresholds[0]?.maxConnections, 7);
  const [one, two, three] = status?.hostStatuses ?? [];
  assert.equal(one?.healthStatus?.failedOutlierCheck, true);
  assert.equal(one?.hostname, "web-0");
  assert.equal(one?.locality?.subZone, "s");
  assert.equal(one?.stats.find((it) => it.name === "ejected.CONSECUTIVE_5XX.left_ms")?.value, 27_500n);
  assert.equal(two?.address?.address.case === "socketAddress" && two.address.address.value.address, "fd00::2");
  assert.equal(two?.healthStatus?.edsHealthStatus, HealthStatus.DEGRADED);
  assert.equal(three?.healthStatus?.edsHealthStatus, HealthStatus.DRAINING);
  assert.equal(three?.priority, 1);
});

test("success rates of the last interval are shown", () => {
  const { clock, state, first } = running();
  for (let i = 0; i < 3; i++) first.outlier?.onStatus(200);
  first.outlier?.onStatus(404);
  first.outlier?.onStatus(500);
  clock.advance(10_000);
  const [status] = fromJson(ClustersSchema, clustersJson(state) as JsonValue).clusterStatuses;
  assert.equal(status?.hostStatuses[0]?.successRate?.value, 80);
  assert.equal(status?.hostStatuses[1]?.successRate, undefined);
  assert.equal(status?.successRateEjectionThreshold?.value, 80);
  assert.match(clustersText(state), /10\.0\.0\.1:80::success_rate::80\n/);
});

test("statistics have Envoy's names", () => {
  const { state, manager, first } = running();
  const value = (stat: string): number | undefined =>
    clusterStats(state.clusters()).find((it) => it.name === `cluster.${name}.${stat}`)?.value;
  first.outlier?.onStatus(500);
  first.outlier?.onStatus(500);
  assert.equal(value("membership_total"), 3);
  assert.equal(value("membership_healthy"), 0);
  assert.equal(value("membership_degraded"), 1);
  assert.equal(value("membership_change"), 1);
  assert.equal(value("outlier_detection.ejections_active"), 1);
  assert.equal(value("outlier_detection.ejections_enforced_total"), 1);
  assert.equal(value("outlier_detection.ejections_detected_consecutive_5xx"), 1);
  assert.equal(value("outlier_detection.ejections_enforced_success_rate"), 0);
  assert.equal(value("lb_subsets_active"), 1);
  assert.equal(value("lb_healthy_panic"), 0);
  assert.equal(value("upstream_cx_overflow"), 0);
  manager.update(clusterConfig("{ name: 'a:b', type: STATIC, alt_stat_name: 'x:y' }"));
  assert.ok(clusterStats(state.clusters()).some((it) => it.name === "cluster.x_y.membership_total"));
});
