import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseAllDocuments } from "yaml";
import { injectYaml } from "./inject-yaml.ts";

const service = `# what the shop is reached by
apiVersion: v1
kind: Service
metadata: {name: shop}   # kept as it is
`;

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
spec:
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers: [{name: shop, image: "shop:1"}]
`;

describe("injectYaml", () => {
  test("workloads get the proxy, other documents keep every byte", () => {
    const { text, issues, skipped } = injectYaml(`${service}---\n${deployment}`, { context: {} });
    assert.deepEqual([issues, skipped], [[], []]);
    assert.ok(text.startsWith(`${service}---\n`));
    const [, injected] = parseAllDocuments(text).map((document) => document.toJS() as Record<string, unknown>);
    assert.match(JSON.stringify(injected), /"istio-proxy"/);
  });

  test("the text of an injected document can be injected again without change", () => {
    const once = injectYaml(`${deployment}---\n${service}`, { context: {} }).text;
    assert.equal(injectYaml(once, { context: {} }).text, once);
  });

  test("what is skipped is said, what is wrong is an issue, and both stay as they were", () => {
    const host = deployment.replace(
      "    spec:\n      containers",
      "    spec:\n      hostNetwork: true\n      containers",
    );
    const skipped = injectYaml(host, { context: {} });
    assert.equal(skipped.text, host);
    assert.deepEqual(skipped.skipped, [
      'Skipping injection because Deployment "default/shop": it has host networking enabled',
    ]);
    const wrong = deployment.replace("{labels", '{annotations: {status.sidecar.istio.io/port: "x"}, labels');
    const refused = injectYaml(wrong, { context: {}, namespace: "store" });
    assert.equal(refused.text, wrong);
    assert.deepEqual(refused.issues[0]?.object, { kind: "Deployment", namespace: "store", name: "shop" });
  });

  test("a document that is no YAML is an issue with its place", () => {
    const text = `${deployment}---\na: [1\nb: 2\n`;
    const { issues } = injectYaml(text, { context: {}, file: "shop.yaml" });
    assert.equal(issues[0]?.position?.file, "shop.yaml");
    assert.ok((issues[0]?.position?.line ?? 0) > 9);
  });

  test("jobs of a CronJob are injected in their pod template", () => {
    const cron = `apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  jobTemplate:
    spec:
      template:
        spec:
          containers: [{name: work, image: "work:1"}]
`;
    const { text } = injectYaml(cron, { context: {} });
    assert.match(text, /canonical-name: nightly/);
    assert.match(text, /namespaces\/default\/cronjobs\/nightly/);
  });
});
