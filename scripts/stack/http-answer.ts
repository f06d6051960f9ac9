/** A server that starts may hold a connection without an answer; then it is asked again. */
const timeoutMs = 2000;

/** Resolves when this address answers with success, else rejects. */
export async function httpAnswer(url: string): Promise<void> {
  const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
}
