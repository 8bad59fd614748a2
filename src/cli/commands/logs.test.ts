import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type MeshApi, startMeshApi } from "../testing/mesh-api.ts";

let mesh: MeshApi;
before(async () => {
  mesh = await startMeshApi(["shop.default"]);
});
after(() => mesh.stop());

test("a container's log is printed; without a name that of the first", async () => {
  assert.deepEqual(await mesh.run("logs", "shop"), { code: 0, stdout: "log of app\n", stderr: "" });
  assert.equal((await mesh.run("logs", "shop", "-c", "istio-proxy", "--tail", "3")).stdout, "log of istio-proxy\n");
  assert.equal(mesh.cluster.logRequests.at(-1)?.tailLines, 3);
});

test("a pod or container that is not there is told with those that are", async () => {
  const noPod = await mesh.run("logs", "nobody");
  assert.deepEqual(
    [noPod.code, noPod.stderr],
    [1, 'outrigger: no pod "nobody" in namespace default; pods there: shop\n'],
  );
  for (const argv of [
    ["logs", "shop", "-c", "x"],
    ["exec", "shop", "-c", "x", "--", "ls"],
  ]) {
    const { code, stderr } = await mesh.run(...argv);
    assert.equal(code, 1);
    assert.equal(stderr, 'outrigger: pod shop has no container "x"; it has app, istio-proxy\n');
  }
});
