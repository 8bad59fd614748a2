// Istio's tables for small questions, where the question is ours.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  isPathTemplate,
  isTemplateLiteral,
  patternProblem,
  trustDomainProblem,
} from "../kinds/authorization-policy/validate.ts";
import { destinationRule } from "../kinds/destination-rule/kind.ts";
import { decodeGateway } from "../kinds/gateway/decode.ts";
import {
  isHttpServer,
  isHttpsServerWithTermination,
  isTcpServerWithTermination,
  isTlsServer,
} from "../kinds/gateway/resolve.ts";
import type { GatewaySpec, Server } from "../kinds/gateway/spec.ts";
import { parseMeshConfig } from "../kinds/mesh-config/decode.ts";
import { annotatedExportTo, portProtocol } from "../kinds/service/resolve.ts";
import { exportToAnnotation, type ServiceSpec } from "../kinds/service/spec.ts";
import { parseProtocol } from "../objects/fields/port.ts";
import { selects, validateLabels } from "../objects/fields/selector.ts";
import { HostIndex } from "../objects/host.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import { problemsOf } from "../objects/testing/objects.ts";
import { mergeServers } from "./gateway-scopes.ts";

const file = join(import.meta.dirname, "../../../../shared/testdata/tables.json");
const options = existsSync(file) ? {} : { skip: `${file} is not there` };

type Row = Readonly<Record<string, unknown>>;

function rows(id: string): Row[] {
  const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: { id: string; rows: Row[] }[] };
  const found = cases.find((item) => item.id.includes(id));
  assert.ok(found, id);
  return found.rows;
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

test("protocol names in any case", options, () => {
  for (const row of rows("protocol#test/TestParse")) assert.equal(parseProtocol(textOf(row["name"])), row["out"]);
});

test("the protocol of a port from its name, appProtocol and number", options, () => {
  for (const row of rows("kube/TestConvertProtocol")) {
    const port = Number(row["port"] ?? 8888);
    const protocol = textOf(row["proto"]) || "TCP";
    const found = portProtocol({ name: textOf(row["portName"]), appProtocol: textOf(row["appProto"]), port, protocol });
    assert.equal(found, row["expectedProto"], textOf(row["name"]));
  }
});

test("label selection and label syntax", options, () => {
  for (const { left, right, expected } of rows("labels#test/TestInstance@")) {
    const [selector, labels] = [left ?? {}, right ?? {}] as Record<string, string>[];
    assert.equal(selects(selector ?? {}, labels ?? {}), (expected as Record<string, boolean>)["subsetOf"]);
  }
  for (const { name, tags, valid } of rows("labels#test/TestInstanceValidate")) {
    let problems = 0;
    validateLabels((tags ?? {}) as Record<string, string>, "labels", () => void problems++);
    assert.equal(problems === 0, valid === true, textOf(name));
  }
});

test("the most specific host", options, () => {
  for (const { in: hosts, needle, want } of rows("TestMostSpecificHostMatch")) {
    const index = new HostIndex((hosts as string[]).map((host) => [host, host]));
    // Istio says nothing for what no pattern covers; so do we, with undefined.
    assert.equal(index.find(textOf(needle)) ?? "", want, JSON.stringify([hosts, needle]));
  }
});

test("what a Gateway server is", options, () => {
  const questions: [string, (server: Server) => boolean][] = [
    ["TestIsTLSServer", isTlsServer],
    ["TestIsHTTPServer", isHttpServer],
    ["TestIsHTTPSServerWithTLSTermination", isHttpsServerWithTermination],
    ["TestIsTCPServerWithTLSTermination", isTcpServerWithTermination],
  ];
  for (const [id, question] of questions) {
    for (const { name, server, expected } of rows(`gateway/${id}@`)) {
      const object = { apiVersion: "", kind: "", metadata: { name: "" }, spec: { servers: [server] } };
      const decoded = decodeGateway(object, (problem) => assert.fail(problem.message))?.servers[0];
      assert.ok(decoded);
      assert.equal(question(decoded), expected, `${id}: ${textOf(name)}`);
    }
  }
});

/** Rows of the merge table that ask for something else. */
const otherMerges: ReadonlyMap<string, string> = new Map([
  ["http-http2-server-config", "both servers are plain HTTP with TLS settings, which validation refuses"],
]);

test("servers of several Gateways merge by port, and route names tell them apart", options, () => {
  for (const { name, gwConfig, serverNum, serversForRouteNum } of rows("TestMergeGateways")) {
    if (otherMerges.has(textOf(name))) continue;
    const gateways = (gwConfig as { Meta: { name: string; namespace: string }; Spec: unknown }[]).map(
      ({ Meta, Spec }) => {
        const object = { apiVersion: "", kind: "Gateway", metadata: Meta, spec: Spec };
        const spec = decodeGateway(object, (problem) => assert.fail(problem.message));
        return { ...Meta, spec } as unknown as MeshObject<GatewaySpec>;
      },
    );
    const servers = mergeServers(gateways, new Map()).listeners.flatMap((listener) => listener.servers);
    assert.equal(servers.length, serverNum, textOf(name));
    const routes: Record<string, number> = {};
    for (const { routeName } of servers) if (routeName !== "") routes[routeName] = (routes[routeName] ?? 0) + 1;
    assert.deepEqual(routes, serversForRouteNum, textOf(name));
  }
});

test("the exportTo annotation of a Service", options, () => {
  for (const { Annotation, Want } of rows("TestServiceConversionWithExportToAnnotation")) {
    const annotations = { [exportToAnnotation]: textOf(Annotation) };
    const service = { metadata: { name: "a", annotations } } as unknown as MeshObject<ServiceSpec>;
    assert.deepEqual(annotatedExportTo(service).sort(), Object.keys(Want as object).sort());
  }
});

test("patterns in authorization policies", options, () => {
  const judge = (id: string, problem: (value: string) => string | undefined): void => {
    for (const { name, values, wantError } of rows(id)) {
      const bad = (values as string[]).some((value) => problem(value) !== undefined);
      assert.equal(bad, wantError === true, textOf(name));
    }
  };
  judge("TestCheckWildcardValues", patternProblem);
  judge("TestCheckTrustDomainValues", trustDomainProblem);
  for (const { name, glob, expected } of rows("TestIsValidLiteral")) {
    assert.equal(isTemplateLiteral(textOf(glob)), expected, textOf(name));
  }
  for (const { path, isPathTemplate: expected } of rows("TestContainsPathTemplate")) {
    assert.equal(isPathTemplate(textOf(path)), expected, textOf(path));
  }
});

test("localities that a DestinationRule may distribute from", options, () => {
  for (const { name, localities, valid } of rows("TestValidateLocalities@")) {
    const distribute = (localities as string[]).map((from) => ({ from, to: { elsewhere: 100 } }));
    const spec = { host: "a", trafficPolicy: { loadBalancer: { localityLbSetting: { distribute } } } };
    assert.equal(problemsOf(destinationRule, spec).length === 0, valid, textOf(name));
  }
});

test("localityLbSetting of the mesh, with and without zoneAwareLbSetting", options, () => {
  for (const { name, yaml, wantLocEnabled } of rows("TestApplyMeshConfigLocalityZoneAware")) {
    const { localityLbSetting } = parseMeshConfig(textOf(yaml)).meshConfig;
    // What is not said is on.
    assert.equal(localityLbSetting?.enabled ?? true, wantLocEnabled ?? false, textOf(name));
  }
});
