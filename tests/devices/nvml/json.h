/* Reading JSON in place: a value is a pointer to its first character, NULL where there is none.
 * Knows what the test files hold (no \u escapes), checks nothing. */
#ifndef JSON_H
#define JSON_H

#include <stdlib.h>
#include <string.h>

static const char *json_space(const char *at) {
    while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') at++;
    return at;
}

/* The first character after a value. */
static const char *json_skip(const char *at) {
    int depth = 0, quoted = 0;
    for (; *at; at++) {
        if (quoted) {
            if (*at == '\\') at++;
            else if (*at == '"') quoted = 0;
        } else if (*at == '"') quoted = 1;
        else if (*at == '{' || *at == '[') depth++;
        else if ((*at == '}' || *at == ']' || *at == ',') && depth == 0) return at;
        else if (*at == '}' || *at == ']') depth--;
    }
    return at;
}

static const char *json_member(const char *object, const char *key) {
    if (!object || *object != '{') return NULL;
    size_t length = strlen(key);
    const char *at = json_space(object + 1);
    while (*at == '"') {
        int same = !strncmp(at + 1, key, length) && at[length + 1] == '"';
        at = json_space(strchr(at + 1, '"') + 1); /* at the colon: keys hold no quotes */
        at = json_space(at + 1);
        if (same) return strncmp(at, "null", 4) ? at : NULL;
        at = json_skip(at);
        if (*at == ',') at = json_space(at + 1);
    }
    return NULL;
}

static const char *json_item(const char *array, unsigned index) {
    if (!array || *array != '[') return NULL;
    const char *at = json_space(array + 1);
    for (; *at && *at != ']'; index--) {
        if (!index) return at;
        at = json_skip(at);
        if (*at == ',') at = json_space(at + 1);
    }
    return NULL;
}

static unsigned json_length(const char *array) {
    unsigned length = 0;
    while (json_item(array, length)) length++;
    return length;
}

static unsigned long long json_number(const char *value, unsigned long long otherwise) {
    return value ? strtoull(value, NULL, 10) : otherwise;
}

/* Copies a string with its escapes resolved; the length it needs with its end, 0 if it is no string. */
static size_t json_string(const char *value, char *out, size_t size) {
    if (!value || *value != '"') return 0;
    size_t length = 0;
    for (value++; *value && *value != '"'; value++, length++) {
        if (*value == '\\') value++;
        if (length + 1 < size) out[length] = *value;
    }
    if (size) out[length < size ? length : size - 1] = 0;
    return length + 1;
}

#endif
