// What users of a mesh complain about most, as tests: requests that fail though every application did its duty.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Answer, fetchMany, fetchPage, SteadyLoad } from "../support/load.ts";
import { eventually, TestMesh } from "../support/mesh.ts";

let mesh: TestMesh;

const page = (path: string): Promise<Answer> => fetchPage(`${mesh.gateway}${path}`);

/** Requests of a key that reached the application, over all its pods. */
async function delivered(key: string): Promise<number> {
  const pods = (await mesh.api("/api/v1/namespaces/default/pods")) as {
    readonly items: readonly {
      readonly metadata: { readonly name: string; readonly labels: { readonly app?: string } };
    }[];
  };
  const counts = await Promise.all(
    pods.items
      .filter(({ metadata }) => metadata.labels.app === "shop")
      .map(({ metadata }) => mesh.exec(metadata.name, "shop", "curl", "-sS", `http://127.0.0.1:8080/count/${key}`)),
  );
  return counts.reduce((sum, { stdout }) => sum + Number(stdout), 0);
}

function statuses(answers: readonly Answer[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

const routesOf = (subset: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ["*"]
  gateways: [shop]
  http:
  - route: [{destination: {host: shop${subset === "" ? "" : `, subset: ${subset}`}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec:
  host: shop
  ${subset === "" ? "subsets: []" : `subsets: [{name: ${subset}, labels: {app: shop}}]`}
`;

describe("reliability", { timeout: 600_000 }, () => {
  before(async () => {
    mesh = await TestMesh.start({ copy: ["test/fixtures/reliability"] });
  });
  after(() => mesh?.stop());

  test("an application that closes idle connections costs no request", async () => {
    // Pauses around the time at which the application closes, so that closing and sending meet.
    const answers: Answer[] = [];
    for (let pauseMs = 60; pauseMs <= 140; pauseMs += 2) {
      answers.push(...(await Promise.all([page("/"), page("/")])));
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    assert.deepEqual(statuses(answers), { 200: answers.length });
  });

  test("a POST that the application answers with 503 is delivered once", async () => {
    const answer = await fetchPage(`${mesh.gateway}/fail/once`, {}, "POST");
    assert.equal(answer.status, 503);
    assert.equal(await delivered("once"), 1);
  });

  test("retries of a service that always fails stay within its budget", async () => {
    const answers = await fetchMany(400, 20, () => page("/fail/budget"));
    assert.deepEqual(statuses(answers), { 503: 400 });
    const count = await delivered("budget");
    assert.ok(count > 400, `${count}: some are tried again`);
    assert.ok(count <= 400 * 1.25, `${count} requests of 400 reached the application`);
  });

  test("a subset and the route to it come in one file, and go in one, without a failed request", async () => {
    const load = new SteadyLoad(`${mesh.gateway}/`);
    for (const subset of ["all", "", "others", ""]) {
      const before = load.requests;
      mesh.writeConfig("reliability/routes.yaml", routesOf(subset));
      await eventually("the new routes at the gateway", async () => {
        const { stdout } = await mesh.run("proxy-config", "routes", "istio-ingressgateway.istio-system", "-o", "json");
        const isThere =
          subset === "" ? !/outbound\|8080\|\w+\|shop/.test(stdout) : stdout.includes(`|8080|${subset}|shop`);
        return isThere ? true : undefined;
      });
      await eventually("more requests", () => (load.requests > before + 200 ? true : undefined));
    }
    const { requests, failures } = await load.stop();
    assert.deepEqual(failures, [], `of ${requests}`);
  });

  test("a rolling restart under load fails no request", async () => {
    const load = new SteadyLoad(`${mesh.gateway}/`);
    const podNames = async (): Promise<string[]> => {
      const pods = (await mesh.api("/api/v1/namespaces/default/pods?labelSelector=app%3Dshop")) as {
        readonly items: readonly { readonly metadata: { readonly name: string } }[];
      };
      return pods.items.map(({ metadata }) => metadata.name);
    };
    const old = new Set(await podNames());
    mesh.editConfig("reliability/shop.yaml", (text) => text.replace("restarted: never", "restarted: once"));
    await eventually(
      "new pods only",
      async () => {
        const names = await podNames();
        return names.length === 2 && names.every((name) => !old.has(name)) ? true : undefined;
      },
      90_000,
    );
    const { requests, failures } = await load.stop();
    assert.deepEqual(failures, [], `of ${requests}`);
    assert.ok(requests > 100);
  });
});
