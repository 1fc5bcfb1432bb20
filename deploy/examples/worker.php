<?php
/*
 * A Gatepost worker: one JSON line in for each event, one JSON line out.
 *
 *     [handler.app.command]
 *     run = ["php", "/etc/gatepost/worker.php"]
 *     mode = "worker"
 *
 * Standard output carries the answers and nothing else: write for yourself to STDERR.
 */

declare(strict_types=1);

ini_set('display_errors', 'stderr');

/** Gatepost reads bodies to 1,000 levels; PHP by itself reads 512. */
const DEPTH_MAX = 1100;

/** This event can never be handled: it goes to the dead letters. */
class Dead extends Exception
{
}

/** Not now: try again after so many seconds. */
class Later extends Exception
{
    public function __construct(public int $seconds)
    {
        parent::__construct();
    }
}

/** What you want to do. An event may come twice: `$event['id']` is then the same. */
function handle(array $event): void
{
    if (!array_key_exists('payload', $event)) {
        throw new Dead($event['unreadable'] ?? 'the body is empty');
    }
    fwrite(STDERR, "{$event['type']} {$event['id']}\n");
}

/** What is said about one line. Whatever is in it, the worker goes on. */
function answer(string $line): array
{
    // The id comes first: it can be told even where the rest cannot be read.
    $id = preg_match('/^\{"id":"([0-9a-f-]{36})"/', $line, $found) ? $found[1] : '';
    try {
        $event = json_decode($line, true, DEPTH_MAX, JSON_THROW_ON_ERROR | JSON_BIGINT_AS_STRING);
    } catch (JsonException $err) { // It will be no better the next time.
        return ['id' => $id, 'dead' => "the event cannot be read: {$err->getMessage()}"];
    }
    try {
        handle($event);
    } catch (Dead $err) {
        return ['id' => $id, 'dead' => $err->getMessage()];
    } catch (Later $err) {
        return ['id' => $id, 'retry_after' => $err->seconds];
    } catch (Throwable $err) { // Anything else is tried again.
        return ['id' => $id, 'ok' => false, 'error' => $err->getMessage()];
    }
    return ['id' => $id, 'ok' => true];
}

// Ends when Gatepost closes the input.
while (($line = fgets(STDIN)) !== false) {
    $flags = JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE;
    fwrite(STDOUT, json_encode(answer($line), $flags) . "\n");
    fflush(STDOUT);
}
