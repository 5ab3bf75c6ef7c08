package admin

import (
	"encoding/json"
	"reflect"
	"strings"
)

// schemas makes JSON Schemas of types, as encoding/json writes them. Each struct has one,
// by its name. A field with the tag schema:"any" holds any JSON value.
type schemas map[string]any

var rawMessage = reflect.TypeFor[json.RawMessage]()

// schemaOf gives the schema of a value's type. A text that is not empty is that text.
func (s schemas) schemaOf(value any) any {
	if text, ok := value.(string); ok && text != "" {
		return object{"const": text}
	}
	return s.ofType(reflect.TypeOf(value))
}

// object is a JSON object.
type object = map[string]any

func (s schemas) ofType(t reflect.Type) any {
	if t == rawMessage { // in a definition: the object, or its JSON as a text
		return object{"type": []string{"object", "string"}}
	}
	switch t.Kind() {
	case reflect.Struct:
		if s[t.Name()] == nil {
			s[t.Name()] = object{} // a type may contain itself
			s[t.Name()] = s.ofStruct(t)
		}
		return object{"$ref": "#/components/schemas/" + t.Name()}
	case reflect.Pointer:
		return object{"oneOf": []any{s.ofType(t.Elem()), object{"type": "null"}}}
	case reflect.Slice:
		return object{"type": "array", "items": s.ofType(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.ofType(t.Elem())}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	}
	panic("no schema for " + t.String()) // a test makes the document
}

func (s schemas) ofStruct(t reflect.Type) object {
	properties, required := object{}, []string{}
	s.addFields(t, properties, &required)
	return object{"type": "object", "properties": properties, "required": required}
}

func (s schemas) addFields(t reflect.Type, properties object, required *[]string) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			s.addFields(f.Type, properties, required)
			continue
		case options == "omitempty" && f.Type.Kind() == reflect.Pointer:
			properties[name] = s.ofType(f.Type.Elem())
			continue
		case options != "omitempty":
			*required = append(*required, name)
		}
		properties[name] = s.ofType(f.Type)
		if f.Tag.Get("schema") == "any" {
			properties[name] = object{}
		}
	}
}
