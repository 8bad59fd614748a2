import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { Images, readImageFiles } from "./images.ts";

const folder = realpathSync(mkdtempSync(join(tmpdir(), "outrigger-images-")));
after(() => rmSync(folder, { recursive: true }));

function write(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const builtin = { outriggerCommand: ["node", "/o/bin/outrigger.ts"], workingDir: "/o" };

describe("images.yaml", () => {
  it("resolves paths against the file and finds an image with and without tag and registry", () => {
    mkdirSync(join(folder, "services"), { recursive: true });
    write("services/web.ts", "");
    const file = write(
      "images.yaml",
      `images:
  docker.io/istio/web: { command: [node, services/web.ts, --flag], user: 1000, env: { A: 1, B: yes } }
  istio/web:special: { command: [./services/web.ts], workingDir: services }
`,
    );
    const { catalog, directories, issues } = readImageFiles([file]);
    assert.deepEqual(issues, []);
    const images = new Images(catalog, builtin);
    assert.deepEqual(images.find("docker.io/istio/web:1.20"), {
      command: ["node", join(folder, "services/web.ts"), "--flag"],
      workingDir: folder,
      user: 1000,
      env: { A: "1", B: "true" },
    });
    assert.equal(images.find("istio/web@sha256:00ff")?.user, 1000);
    assert.deepEqual(images.find("istio/web:special")?.command, [join(folder, "services/web.ts")]);
    assert.deepEqual([...directories].sort(), [folder, join(folder, "services")].sort());
  });

  it("lets a later file override an earlier one", () => {
    const one = write("one.yaml", "images: { a: { command: [one] }, b: { command: [one] } }");
    const two = write("two.yaml", "images: { a: { command: [two] } }");
    const images = new Images(readImageFiles([one, two]).catalog, builtin);
    assert.deepEqual([images.find("a")?.command, images.find("b:1")?.command], [["two"], ["one"]]);
  });

  it("reports mistakes with their place and uses the rest", () => {
    const file = write(
      "bad.yaml",
      `images:
  good: { command: [sleep] }
  none: { user: 3 }
  typo:
    comand: [sleep]
  user: { command: [sleep], user: root }
`,
    );
    const { catalog, issues } = readImageFiles([file, join(folder, "absent.yaml"), write("not.yaml", "a: [")]);
    assert.deepEqual(Object.keys(catalog.commandByImage), ["good"]);
    assert.deepEqual(
      issues.map(({ position, message }) => [position?.line, message.slice(0, 26)]),
      [
        [3, "none: `command` must be a "],
        [5, "typo: unknown field comand"],
        [6, "user: `user` must be a num"],
        [1, "cannot be read: ENOENT: no"],
        [1, issues[4]?.message.slice(0, 26)],
      ],
    );
  });

  it("knows Outrigger's own images under any registry and tag", () => {
    const images = new Images({ commandByImage: {}, files: [] }, builtin);
    for (const name of [
      "outrigger/proxy",
      "registry.example:5000/x/outrigger/proxy:1.0",
      "docker.io/outrigger/pilot:dev",
    ]) {
      assert.deepEqual(images.find(name)?.command, builtin.outriggerCommand, name);
    }
    assert.equal(images.find("constructor"), undefined);
    assert.equal(images.find("other/proxy"), undefined);
  });

  it("says what to write for an image that is missing", () => {
    const images = new Images({ commandByImage: {}, files: ["/x/images.yaml"] }, builtin);
    assert.equal(
      images.explainMissing("shop/cart:2"),
      'no local command is known for image "shop/cart:2": add it to /x/images.yaml, as images: { "shop/cart": { command: [node, server.ts] } }',
    );
  });
});
