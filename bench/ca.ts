// Certificates that the certificate authority signs per second on one core.
import { generateKeyPairSync } from "node:crypto";
import { systemClock } from "../src/base/time/clock.ts";
import { CertificateAuthority } from "../src/control/ca/authority.ts";
import { createSelfSignedMaterial } from "../src/control/ca/material.ts";
import { buildCertificateRequest } from "../src/wire/x509/certificate-request.ts";
import { type Benchmark, figure } from "./harness/benchmark.ts";

const aimPerSecond = 1000;

export const ca: Benchmark = {
  notes: `In this process, on one thread: a request (CSR with a P-256 key, as the sidecar makes it) is parsed, its signature verified, a
leaf with the workload's SPIFFE id made, signed by the CA's own key, and read back. Requests are made beforehand. By CPU time.`,
  run: async (isQuick) => {
    const authority = new CertificateAuthority(createSelfSignedMaterial("cluster.local", Date.now()), systemClock);
    const requests = Array.from({ length: 50 }, () =>
      buildCertificateRequest(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey, { uris: [identity] }),
    );
    signAll(authority, requests, 200);
    const runs = Array.from({ length: 3 }, (): [number, number] => [
      signAll(authority, requests, isQuick ? 500 : 5000),
      aimPerSecond,
    ]);
    return [figure({ name: "ca", case: "workload certificates", unit: "per second", against: "aim" }, runs)];
  },
};

const identity = "spiffe://cluster.local/ns/default/sa/reviews";

function signAll(authority: CertificateAuthority, requests: readonly string[], count: number): number {
  const before = process.cpuUsage();
  for (let index = 0; index < count; index++) {
    authority.signWorkload(requests[index % requests.length] ?? "", identity, 0);
  }
  const { user, system } = process.cpuUsage(before);
  return count / ((user + system) / 1e6);
}
