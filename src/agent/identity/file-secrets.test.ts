import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { systemClock } from "#base/time/clock.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import { selfSigned } from "#wire/x509/testing/self-signed.ts";
import { FileSecrets } from "./file-secrets.ts";

test("files that the configuration names are read when they come, when they change, and let go", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-files-"));
  const secrets = new SecretStore();
  const keeper = new FileSecrets({ secrets, log: silentLogger, clock: systemClock });
  t.after(async () => {
    await keeper.stop();
    rmSync(folder, { recursive: true });
  });
  const changed = (name: string): Promise<void> =>
    new Promise((resolve) => {
      const stop = secrets.onChange((which) => {
        if (which !== name) return;
        stop();
        resolve();
      });
    });
  const late = join(folder, "mounted/later");
  const certificate = `file-cert:${late}/own.pem~${late}/own.key`;
  const [roots, lists] = [`file-root:${folder}/root.pem`, `file-crl:${folder}/crl.pem`];
  const [one, two] = [selfSigned(), selfSigned()];
  writeFileSync(join(folder, "root.pem"), one.chain);
  writeFileSync(join(folder, "crl.pem"), "list");
  secrets.setWanted(new Set([certificate, roots, lists, "default", "kubernetes://a"]));
  assert.equal(secrets.trustedRoots(roots), one.chain);
  assert.equal(secrets.revocationList(lists), "list");
  assert.equal(secrets.certificate(certificate), undefined);

  mkdirSync(late, { recursive: true });
  writeFileSync(join(late, "own.key"), one.key);
  const came = changed(certificate);
  writeFileSync(join(late, "own.pem"), one.chain);
  await came;
  assert.equal(secrets.certificate(certificate)?.certificateChain, one.chain);

  const renewed = changed(certificate);
  writeFileSync(join(late, "own.pem"), two.chain);
  writeFileSync(join(late, "own.key"), two.key);
  await renewed;
  assert.equal(secrets.certificate(certificate)?.privateKey, two.key);

  secrets.setWanted(new Set([roots]));
  assert.equal(secrets.certificate(certificate), undefined);
  assert.equal(secrets.trustedRoots(roots), one.chain);
});
