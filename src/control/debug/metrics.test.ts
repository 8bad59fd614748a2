// The control plane's metrics, read after something happened that they are to tell.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { typeUrl } from "#wire/xds/type-urls.ts";
import {
  DeltaXdsClient,
  endpointSlice,
  FullXdsClient,
  meshYaml,
  metricValue,
  startTestControlPlane,
  type TestControlPlane,
} from "../testing/test-control-plane.ts";

const virtualService = (name: string, subset = ""): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${name}, namespace: default}
spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews${subset}}}]}]}
`;
/** Nobody can read it. */
const invalid = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: broken, namespace: default}
spec: {hosts: [], http: []}
`;

async function start(t: TestContext, yaml = ""): Promise<TestControlPlane> {
  const plane = await startTestControlPlane(`${meshYaml}---${endpointSlice("reviews", ["10.244.0.5"])}${yaml}`);
  t.after(() => plane.control.stop());
  return plane;
}

function connect(t: TestContext, plane: TestControlPlane): DeltaXdsClient {
  const client = new DeltaXdsClient({ port: plane.control.addresses.plaintext?.port ?? 0 });
  t.after(() => client.close());
  return client;
}

/** Waits until a series has a value, which comes with the control plane's next look at what a proxy said. */
async function reads(plane: TestControlPlane, series: string, test: (value: number) => boolean): Promise<void> {
  const end = Date.now() + 5000;
  while (!test(metricValue(plane.control, series)) && Date.now() < end) await sleep(5);
  assert.ok(test(metricValue(plane.control, series)), `${series} is ${metricValue(plane.control, series)}`);
}

const is = (wanted: number) => (value: number) => value === wanted;
const isPositive = (value: number): boolean => value > 0;

test("what is configured: services, VirtualServices, invalid objects, the snapshot's time", async (t) => {
  const plane = await start(t, `---${virtualService("one")}---${virtualService("two")}---${invalid}`);
  await reads(plane, "pilot_services", is(2));
  await reads(plane, "pilot_virt_services", is(2));
  await reads(plane, "pilot_total_rejected_configs", is(1));
  await reads(plane, "pilot_pushcontext_init_seconds_count", isPositive);
  await reads(plane, 'istio_build{component="pilot",tag="1.31.0"}', is(1));
  await reads(plane, "citadel_server_root_cert_expiry_timestamp", (value) => value > Date.now() / 1000);
});

test("a proxy: its connection, what it is sent and how large, what it refuses", async (t) => {
  const plane = await start(t);
  const client = connect(t, plane);
  const types = [
    ["cds", typeUrl.cluster],
    ["lds", typeUrl.listener],
  ] as const;
  for (const [type, url] of types) {
    client.request(url);
    await client.accept();
    await reads(plane, `pilot_xds_pushes{type="${type}"}`, is(1));
    await reads(plane, `pilot_xds_config_size_bytes_count{type="${url}"}`, is(1));
    await reads(plane, `pilot_xds_config_size_bytes_sum{type="${url}"}`, (value) => value > 100);
  }
  await reads(plane, 'pilot_xds{version="1.31.0"}', (value) => value <= 1);
  await reads(plane, "pilot_xds_push_time_count", isPositive);
  client.request(typeUrl.endpoint, { resourceNamesSubscribe: ["outbound|9080||reviews.default.svc.cluster.local"] });
  client.nack(await client.next(), "no endpoints for me");
  await reads(plane, "pilot_xds_eds_reject", is(1));
  client.request(typeUrl.route, { resourceNamesSubscribe: ["9080"] });
  client.nack(await client.next(), "no routes for me");
  await reads(plane, "pilot_xds_rds_reject", is(1));
  plane.source.apply(
    "{apiVersion: v1, kind: Service, metadata: {name: more, namespace: default}, spec: {clusterIP: 10.96.0.30, ports: [{name: http, port: 7070}]}}",
  );
  for (let i = 0; i < 2; i++) client.nack(await client.next(), "nothing more");
  await reads(plane, "pilot_xds_cds_reject", is(1));
  await reads(plane, "pilot_xds_lds_reject", is(1));
  await reads(plane, "pilot_total_xds_rejects", is(4));
  await reads(plane, "pilot_total_xds_internal_errors", is(0));
});

test("a change: what came in, how long it was collected, what it started, when the proxy had it", async (t) => {
  const plane = await start(t);
  const client = connect(t, plane);
  client.request(typeUrl.endpoint, { resourceNamesSubscribe: ["outbound|9080||reviews.default.svc.cluster.local"] });
  await client.accept();
  const seen = (series: string): number => metricValue(plane.control, series);
  const before = {
    config: seen('pilot_inbound_updates{type="config"}'),
    eds: seen('pilot_inbound_updates{type="eds"}'),
    debounced: seen("pilot_debounce_time_count"),
    converged: seen("pilot_proxy_convergence_time_count"),
  };
  plane.source.apply(endpointSlice("reviews", ["10.244.0.5", "10.244.0.6"]));
  await client.accept();
  await reads(plane, 'pilot_inbound_updates{type="eds"}', is(before.eds + 1));
  await reads(plane, "pilot_debounce_time_count", (value) => value > before.debounced);
  await reads(plane, "pilot_proxy_convergence_time_count", (value) => value > before.converged);
  await reads(plane, 'pilot_push_triggers{type="endpoint"}', isPositive);
  plane.source.apply(virtualService("one"));
  await reads(plane, 'pilot_inbound_updates{type="config"}', is(before.config + 1));
  await reads(plane, 'pilot_push_triggers{type="config"}', isPositive);
  const more = "{apiVersion: v1, kind: Service, metadata: {name: more, namespace: default}, spec: {clusterIP: None}}";
  plane.source.apply(more);
  await reads(plane, 'pilot_inbound_updates{type="svc"}', is(1));
  plane.source.delete(more);
  await reads(plane, 'pilot_inbound_updates{type="svcdelete"}', is(1));
});

test("an answer to an older response is counted as expired", async (t) => {
  const plane = await start(t);
  const client = new FullXdsClient({ port: plane.control.addresses.plaintext?.port ?? 0 });
  t.after(() => client.close());
  client.request(typeUrl.cluster);
  const first = await client.next();
  client.request(typeUrl.cluster, { versionInfo: first.versionInfo, responseNonce: first.nonce });
  plane.source.apply(
    "{apiVersion: v1, kind: Service, metadata: {name: more, namespace: default}, spec: {clusterIP: 10.96.0.30, ports: [{name: http, port: 7070}]}}",
  );
  await client.next();
  client.request(typeUrl.cluster, { versionInfo: first.versionInfo, responseNonce: first.nonce });
  await reads(plane, 'pilot_xds_expired_nonce{type="cds"}', is(1));
});

test("a proxy that leaves is connected no more", async (t) => {
  const plane = await start(t);
  const client = connect(t, plane);
  client.request(typeUrl.cluster);
  await client.accept();
  const connected = (): number =>
    [...plane.control.metrics.expose().matchAll(/^pilot_xds\{[^}]*\} (\d+)$/gm)].reduce(
      (sum, [, value]) => sum + Number(value),
      0,
    );
  assert.equal(connected(), 1);
  client.close();
  const end = Date.now() + 5000;
  while (connected() > 0 && Date.now() < end) await sleep(5);
  assert.equal(connected(), 0);
});
