// IST0138, IST0161, IST0162: Gateways against each other's certificates, against the Secrets that they name, and against
// the ports of their Services.
import { X509Certificate } from "node:crypto";
import { type Issue, Severity } from "#base/issue.ts";
import { podSubject, selectsWorkload } from "../kinds/gateway/resolve.ts";
import type { GatewaySpec } from "../kinds/gateway/spec.ts";
import { type Labels, selects } from "../objects/fields/selector.ts";
import type { ServerTlsSettings } from "../objects/fields/server-tls.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import { findCredential, parseCredentialName } from "../snapshot/credentials.ts";
import { type AnalysisContext, issueOf } from "./context.ts";

/** Browsers use one HTTP/2 connection for all names of a certificate: requests for one Gateway's host reach the other. */
export function checkCertificates({ objects }: AnalysisContext): Issue[] {
  const gateways = objects.all("Gateway");
  return gateways.flatMap((gateway) => {
    const others = gateways.filter(
      (other) => other !== gateway && isWithin(gateway.spec.selector, other.spec.selector),
    );
    return gateway.spec.servers.flatMap(({ tls }, index) => {
      const same = others.filter((other) => other.spec.servers.some((server) => sameCertificate(tls, server.tls)));
      if (same.length === 0) return [];
      const names = same.map(({ namespace, name }) => `${namespace}/${name}`).join(", ");
      const message = `the certificate is the one of ${names} too: clients that reuse HTTP/2 connections get 404 or 421`;
      const fix = "one Gateway for all hosts of a certificate, or a certificate for each";
      const path = `spec.servers[${index}].tls`;
      return [issueOf(gateway, { code: "IST0138", severity: Severity.Warning, path, message, fix })];
    });
  });
}

/** Everything that the first selector asks for the second asks for too. */
function isWithin(selector: Labels, other: Labels): boolean {
  return selects(selector, other);
}

function sameCertificate(a: ServerTlsSettings | undefined, b: ServerTlsSettings | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  if (a.credentialName !== "" || b.credentialName !== "") return a.credentialName === b.credentialName;
  return a.serverCertificate !== "" && a.serverCertificate === b.serverCertificate && a.privateKey === b.privateKey;
}

/** Certificates that are there and past their time. */
export function checkExpiry({ objects, now }: AnalysisContext): Issue[] {
  return objects.all("Gateway").flatMap((gateway) => {
    const pods = objects.all("Pod").filter((pod) => selectsWorkload(gateway, podSubject(pod), false));
    const namespaces = new Set(pods.map(({ namespace }) => namespace));
    return gateway.spec.servers.flatMap(({ tls }, index) => {
      const name = tls?.credentialName ?? "";
      return [...namespaces].flatMap((namespace) => {
        const asked = parseCredentialName(name.includes("://") ? name : `kubernetes://${name}`, namespace);
        const credential = asked === undefined ? undefined : findCredential(objects, asked);
        if (credential?.type !== "certificate") return [];
        const until = new X509Certificate(credential.chain).validToDate;
        if (until.getTime() > now) return [];
        const message = `the certificate of the Secret ${namespace}/${name} has ended on ${until.toISOString()}`;
        const path = `spec.servers[${index}].tls.credentialName`;
        return [issueOf(gateway, { code: "IST0161", severity: Severity.Error, path, message, fix: "renew it" })];
      });
    });
  });
}

export function checkServicePorts({ objects }: AnalysisContext): Issue[] {
  return objects.all("Gateway").flatMap((gateway) => {
    const pods = objects.all("Pod").filter((pod) => selectsWorkload(gateway, podSubject(pod), false));
    if (pods.length === 0) return [];
    const ports = new Set(
      pods.flatMap(({ namespace, metadata }) =>
        objects
          .inNamespace("Service", namespace)
          .filter(({ spec }) => Object.keys(spec.selector).length > 0 && selects(spec.selector, metadata.labels ?? {}))
          .flatMap(({ spec }) => spec.ports.flatMap(({ port, targetPort }) => [port, targetPort])),
      ),
    );
    return unreachable(gateway, ports);
  });
}

function unreachable(gateway: MeshObject<GatewaySpec>, ports: ReadonlySet<number | string>): Issue[] {
  return gateway.spec.servers.flatMap(({ port, bind }, index) => {
    if (ports.has(port.number) || bind.startsWith("unix://")) return [];
    const message = `no Service of the gateway's pods leads to port ${port.number}`;
    const fix = "add the port to the Service, unless clients are to come to the pods themselves";
    const path = `spec.servers[${index}].port.number`;
    return [issueOf(gateway, { code: "IST0162", severity: Severity.Warning, path, message, fix })];
  });
}
