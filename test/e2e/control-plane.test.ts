// What the control plane says and refuses through the cluster's API.
import assert from "node:assert/strict";
import { request } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { eventually, TestMesh } from "../support/mesh.ts";

const collection = "/apis/networking.istio.io/v1/namespaces/default/virtualservices";
let mesh: TestMesh;

interface Status {
  readonly observedGeneration?: number;
  readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message: string }[];
}

describe("the control plane", { timeout: 900_000 }, () => {
  before(async () => {
    mesh = await TestMesh.start({ copy: ["examples/bookinfo"] });
  });
  after(async () => {
    await mesh?.stop();
  });

  test("an object's status and the command say at how many proxies it is in force", async () => {
    await eventually("the status of reviews", async () => {
      const { status } = (await mesh.api(`${collection}/reviews`)) as { status?: Status };
      const reconciled = status?.conditions?.find(({ type }) => type === "Reconciled");
      const inForce = status?.conditions?.find(({ type }) => type === "outrigger.dev/InForce");
      // Six sidecars see it; the gateway does not.
      const isThere = reconciled?.status === "True" && reconciled.message === "6/6 proxies up to date.";
      return isThere && inForce?.status === "True" && /virtual-service-reviews\.yaml:\d+/.test(inForce.message)
        ? true
        : undefined;
    });
    const { stdout } = await mesh.run("status");
    assert.match(stdout, /^VirtualService +default +reviews +in force +6 of 6 /m);
  });

  test("the API server refuses what Istio's webhook refuses, with the field and the fix", async () => {
    const answer = await create({
      hosts: ["reviews"],
      http: [{ timeout: "soon", route: [{ destination: { host: "reviews" } }] }],
    });
    assert.equal(answer.status, 422);
    assert.match(answer.body, /spec\.http\[0\]\.timeout/);
    const unknown = await create({ hosts: ["reviews"], htpp: [] });
    assert.match(unknown.body, /did you mean/);
    const right = await create({
      hosts: ["elsewhere.example.com"],
      http: [{ route: [{ destination: { host: "reviews" } }] }],
    });
    assert.equal(right.status, 201, right.body);
  });
});

function create(spec: unknown): Promise<{ status: number; body: string }> {
  const object = {
    apiVersion: "networking.istio.io/v1",
    kind: "VirtualService",
    metadata: { name: "by-hand", namespace: "default" },
    spec,
  };
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        socketPath: join(mesh.folder, "state/api.sock"),
        path: collection,
        method: "POST",
        headers: { "content-type": "application/json" },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("end", () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
        );
      },
    );
    outgoing.once("error", reject);
    outgoing.end(JSON.stringify(object));
  });
}
