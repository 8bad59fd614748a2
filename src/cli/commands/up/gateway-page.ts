// Which page of the ingress gateway to look at first: the first path that a VirtualService serves through a gateway to
// any host, because a browser asks for 127.0.0.1.
import { get } from "node:http";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";

export function firstGatewayPath(objects: readonly KubernetesObject[]): string | undefined {
  const paths = objects.filter((object) => object.kind === "VirtualService").flatMap(pathsOf);
  return paths.find((path) => path !== "/") ?? paths[0];
}

interface VirtualServiceShape {
  readonly hosts?: readonly string[];
  readonly gateways?: readonly string[];
  readonly http?: readonly {
    readonly match?: readonly { readonly uri?: { readonly exact?: string; readonly prefix?: string } }[];
  }[];
}

function pathsOf(object: KubernetesObject): string[] {
  const spec = (object["spec"] ?? {}) as VirtualServiceShape;
  if (!Array.isArray(spec.gateways) || spec.gateways.every((gateway) => gateway === "mesh")) return [];
  if (!Array.isArray(spec.hosts) || !spec.hosts.includes("*")) return [];
  const matches = (spec.http ?? []).flatMap((route) => route.match ?? []);
  const paths = matches.flatMap(({ uri }) => uri?.exact ?? uri?.prefix ?? []);
  return paths.length > 0 ? paths : ["/"];
}

export interface PageAnswer {
  readonly status: number;
  readonly milliseconds: number;
}

/** Asks for the page once; status 0 means no answer. */
export function fetchPage(url: string): Promise<PageAnswer> {
  const start = performance.now();
  return new Promise((resolve) => {
    const done = (status: number): void => resolve({ status, milliseconds: Math.round(performance.now() - start) });
    const request = get(url, { timeout: 5000, agent: false }, (response) => {
      response.resume();
      response.once("end", () => done(response.statusCode ?? 0));
      response.once("error", () => done(0));
    });
    request.once("timeout", () => request.destroy());
    request.once("error", () => done(0));
  });
}
