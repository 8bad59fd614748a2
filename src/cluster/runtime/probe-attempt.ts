// One attempt of a probe or a lifecycle hook: HTTP, TCP or a command in the container.

import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import type { ContainerProcess } from "./container-process.ts";
import { type ContainerSpec, type Handler, type HttpGet, portNumber } from "./pod-spec.ts";

export interface AttemptTarget {
  readonly container: ContainerSpec;
  readonly podAddress: string;
  readonly process: Pick<ContainerProcess, "exec">;
}

/** Undefined when it succeeded, else what went wrong in words. Never rejects. */
export async function attempt(handler: Handler, target: AttemptTarget, timeoutMs: number): Promise<string | undefined> {
  const { httpGet, tcpSocket, grpc, exec, sleep } = handler;
  if (httpGet !== undefined) return attemptHttp(httpGet, target, timeoutMs);
  if (tcpSocket !== undefined)
    return attemptTcp(tcpSocket.host ?? target.podAddress, tcpSocket.port, target, timeoutMs);
  if (grpc !== undefined) return attemptTcp(target.podAddress, grpc.port, target, timeoutMs);
  if (exec !== undefined) return attemptExec(exec.command ?? [], target, timeoutMs);
  if (sleep !== undefined)
    await new Promise((resolve) => setTimeout(resolve, Math.min(timeoutMs, sleep.seconds * 1000)));
  return undefined;
}

function attemptHttp(get: HttpGet, target: AttemptTarget, timeoutMs: number): Promise<string | undefined> {
  const port = portNumber(target.container, get.port);
  if (port === undefined) return Promise.resolve(`there is no port named ${get.port}`);
  const isTls = get.scheme?.toUpperCase() === "HTTPS";
  const host = get.host ?? target.podAddress;
  const path = get.path?.startsWith("/") === true ? get.path : `/${get.path ?? ""}`;
  const headers: Record<string, string> = { "user-agent": "kube-probe/1.31", accept: "*/*", connection: "close" };
  for (const { name, value } of get.httpHeaders ?? []) headers[name.toLowerCase()] = value;
  return new Promise((resolve) => {
    const start = isTls ? httpsRequest : httpRequest;
    // A probe asks whether it answers, not who it is (as the kubelet).
    const request = start({ host, port, path, headers, agent: false, rejectUnauthorized: false });
    const timer = setTimeout(() => {
      resolve(`no answer within ${timeoutMs / 1000} s from http${isTls ? "s" : ""}://${host}:${port}${path}`);
      request.destroy();
    }, timeoutMs);
    request.on("response", (response) => {
      clearTimeout(timer);
      response.destroy();
      const status = response.statusCode ?? 0;
      resolve(status >= 200 && status < 400 ? undefined : `HTTP probe failed with statuscode: ${status}`);
    });
    request.on("error", (error) => {
      clearTimeout(timer);
      resolve(error.message);
    });
    request.end();
  });
}

function attemptTcp(
  host: string,
  port: number | string,
  target: AttemptTarget,
  timeoutMs: number,
): Promise<string | undefined> {
  const number = portNumber(target.container, port);
  if (number === undefined) return Promise.resolve(`there is no port named ${port}`);
  return new Promise((resolve) => {
    const socket = connect({ host, port: number });
    const finish = (failure: string | undefined): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(failure);
    };
    const timer = setTimeout(
      () => finish(`no connection to ${host}:${number} within ${timeoutMs / 1000} s`),
      timeoutMs,
    );
    socket.once("connect", () => finish(undefined));
    socket.once("error", (error) => finish(error.message));
  });
}

async function attemptExec(
  command: readonly string[],
  target: AttemptTarget,
  timeoutMs: number,
): Promise<string | undefined> {
  const result = await target.process.exec(command, timeoutMs);
  if (result.timedOut) return `command "${command.join(" ")}" did not end within ${timeoutMs / 1000} s`;
  return result.code === 0 ? undefined : `command ended with ${result.code}: ${result.output.trim()}`;
}
